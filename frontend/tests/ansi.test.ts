import assert from "node:assert/strict";
import { test } from "node:test";
import { AnsiReader, type Piece } from "../src/ansi";

const readAll = (parts: string[]): Piece[] => {
  const reader = new AnsiReader();
  return parts.flatMap((part) => reader.read(part));
};
const text = (pieces: Piece[]): string => pieces.map((piece) => piece.text).join("");

test("colours become classes and end with their code", () => {
  assert.deepEqual(readAll(["a\x1b[1;31mb\x1b[0mc"]), [
    { text: "a", className: "" },
    { text: "b", className: "ansi-red ansi-bold" },
    { text: "c", className: "" },
  ]);
});

test("an escape sequence that is cut anywhere reads like a whole one", () => {
  const whole = "x\x1b[38;5;196my\x1b]8;;http://a.example\x07link\x1b]8;;\x1b\\\x1b[2K\x1b(Bz\r\n\x1b[32mgreen";
  const expected = readAll([whole]);
  for (let cut = 1; cut < whole.length; cut += 1) {
    const pieces = readAll([whole.slice(0, cut), whole.slice(cut)]);
    assert.equal(text(pieces), text(expected), `cut at ${cut}`);
    assert.equal(pieces.at(-1)?.className, "ansi-green", `cut at ${cut}`);
  }
});

test("what moves the cursor, sets titles or rings is dropped", () => {
  assert.equal(text(readAll(["\x1b[2J\x1b[H\x1b]0;title\x07\x07a\x08b\x1b[?25l\x7f"])), "ab");
});

test("windows line ends are plain ones, and a lone return stays", () => {
  assert.equal(text(readAll(["a\r", "\nb\rc"])), "a\nb\rc");
});

test("a lone escape does not hold back what follows for ever", () => {
  assert.equal(text(readAll(["\x1b[", "9".repeat(5000), "end"])).endsWith("end"), true);
});
