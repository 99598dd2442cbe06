const { writeSync } = require("fs");
for (;;) {
  try {
    writeSync(1, "flood".repeat(1000) + "\n");
  } catch (error) {
    if (error.code !== "EAGAIN") throw error;
  }
}
