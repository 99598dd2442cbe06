import assert from "node:assert/strict";
import { test } from "node:test";
import { AnsiReader } from "../src/ansi";
import { LONGEST_LINE, type Line, Screen } from "../src/screen";

/** All lines of what was printed in these pieces, the unfinished one last, with neighbours of one style joined. */
function shown(parts: string[]): Line {
  const [reader, screen] = [new AnsiReader(), new Screen()];
  for (const part of parts) reader.read(part, screen);
  const runs: Line = [];
  for (const run of [...screen.take().flat(), ...screen.open]) {
    const last = runs.at(-1);
    if (last?.className === run.className) last.text += run.text;
    else runs.push({ ...run });
  }
  return runs;
}
const text = (...parts: string[]): string => shown(parts).map((run) => run.text).join("");

test("colours become classes and end with their code", () => {
  assert.deepEqual(shown(["a\x1b[1;31mb\x1b[0mc"]), [
    { text: "a", className: "" },
    { text: "b", className: "ansi-red ansi-bold" },
    { text: "c", className: "" },
  ]);
});

test("an escape sequence that is cut anywhere reads like a whole one", () => {
  const whole = "x\x1b[38;5;196my\x1b]8;;http://a.example\x07link\x1b]8;;\x1b\\\x1b[2K\x1b(Bz\r\n\x1b[32mgreen";
  const expected = shown([whole]);
  for (let cut = 1; cut < whole.length; cut += 1) {
    assert.deepEqual(shown([whole.slice(0, cut), whole.slice(cut)]), expected, `cut at ${cut}`);
  }
});

test("what moves the cursor elsewhere, sets titles or rings is dropped", () => {
  assert.equal(text("\x1b[2J\x1b[H\x1b]0;title\x07\x07a\x1b[?25lb\x7f\x9b\x1bP1$r0m\x1b\\c"), "abc");
});

test("a return goes back to the start of the line, and what follows goes over it", () => {
  assert.equal(text("a\r", "\nb\rc"), "a\nc");
  assert.equal(text("10 %\r100 %", "\r5"), "500 %");
  assert.equal(text("downloading\r\x1b[Kdone\n"), "done\n");
  assert.equal(text("abc\x1b[2Kd"), "d");
  assert.equal(text("12\b\b\b9\n"), "92\n");
  assert.equal(text("\x1b[31mred\r\x1b[0mb"), "bed");
});

test("four thousand steps of a progress bar are one line, and what follows is whole", () => {
  const bar = Array.from({ length: 4_000 }, (_, step) => `\r${"#".repeat(step / 40).padEnd(100, ".")} ${step}`);
  assert.equal(text(...bar, "\nRESULT 42\n"), `${"#".repeat(99)}. 3999\nRESULT 42\n`);
});

test("an escape sequence without an end does not hold back what follows", () => {
  for (const start of ["\x1b[", "\x1b]0;", "\x1bP", "\x1b "]) {
    assert.equal(text(start, (start === "\x1b " ? " " : "9").repeat(5_000), "end").endsWith("end"), true, JSON.stringify(start));
  }
});

test("a string that is not ended takes its line and no more", () => {
  assert.equal(text(`${"\x1b]".repeat(100)}title\nRESULT 42`), "\nRESULT 42");
});

test("a line without an end is shown in pieces", () => {
  const screen = new Screen();
  new AnsiReader().read("x".repeat(10 * LONGEST_LINE + 1), screen);
  assert.equal(screen.take().length, 10);
  assert.deepEqual(screen.open, [{ text: "x", className: "" }]);
});

test("accents that pile up on one character are bounded", () => {
  assert.ok(text(`e${"\u0301".repeat(100_000)}x`).length < 20);
  assert.equal(text("e\u0301👩‍🚀"), "e\u0301👩‍🚀");
});

test("each character of a hostile program is looked at twice at most", () => {
  const size = 300_000;
  const fill = (piece: string): string => piece.repeat(Math.ceil(size / piece.length)).slice(0, size);
  const hostile = [
    "\x1b]", "\x1b[", "\x1b ", "\x1b", "\x1b\\", "\x1bP", "\x1b]\x1b", "\x1b]0;a", "\x1b[;", "\x1b[1;", "\x1b[9\x00", "\x1b[31mx\x1b[32my",
    "\r", "\b", "a\b", "\r\n", "a\r", "\x1b[K", "x\x1b[2K", "\n", "\0", "x", "e\u0301", "\u0301", "\u202e", "👩‍🚀", 'File "/', "main.",
  ];
  for (const piece of hostile) {
    const printed = fill(piece);
    for (const cuts of [1, 997]) {
      const [reader, screen] = [new AnsiReader(), new Screen()];
      const length = Math.ceil(size / cuts);
      for (let at = 0; at < size; at += length) reader.read(printed.slice(at, at + length), screen);
      assert.ok(reader.steps <= 2 * size, `${JSON.stringify(piece)}: ${reader.steps} steps`);
      assert.ok(screen.open.length <= LONGEST_LINE);
    }
  }
});
