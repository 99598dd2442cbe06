require("fs").writeSync(1, "before\n");
const kept = [];
for (;;) kept.push(Buffer.alloc(1 << 20, "x"));
