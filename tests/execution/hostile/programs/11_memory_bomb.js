require("fs").writeSync(1, "before\n");
const kept = [];
// In steps that no reclaiming keeps up with: small ones let Node creep along the limit for seconds.
for (;;) kept.push(Buffer.alloc(1 << 24, "x"));
