// Whatever replaces part of a character reaches the shared text as a change of the whole one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChangeSpec, EditorState } from "@codemirror/state";
import { wholeCharacters } from "../src/characters";

type Change = [from: number, to: number, insert: string];

function changed(doc: string, changes: ChangeSpec, selection?: { anchor: number }): { text: string; told: Change[]; head: number } {
  const state = EditorState.create({ doc, extensions: [wholeCharacters(), EditorState.lineSeparator.of("\n")] });
  const transaction = state.update({ changes, selection, userEvent: "input" });
  assert.equal(transaction.isUserEvent("input"), true);
  const told: Change[] = [];
  transaction.changes.iterChanges((from, to, _fromB, _toB, insert) => told.push([from, to, insert.toString()]));
  return { text: transaction.newDoc.toString(), told, head: transaction.newSelection.main.head };
}

test("one emoji in another's place is a change of both halves, though they share one", () => {
  assert.deepEqual(changed("a😀b", { from: 2, to: 3, insert: "\ude01" }, { anchor: 3 }), {
    text: "a😁b", told: [[1, 3, "😁"]], head: 3,
  });
  // U+1F600 and U+2A600 share the second half.
  assert.deepEqual(changed("a😀b", { from: 1, to: 2, insert: "\ud869" }), { text: "a\u{2a600}b", told: [[1, 3, "\u{2a600}"]], head: 0 });
});

test("an emoji that is put before one with the same half is told whole, and the caret stands behind it", () => {
  assert.deepEqual(changed("😀", { from: 1, insert: "\ude01\ud83d" }, { anchor: 2 }), {
    text: "😁😀", told: [[0, 2, "😁😀"]], head: 2,
  });
});

test("what a deletion leaves of a character goes with it", () => {
  assert.deepEqual(changed("a😀b", { from: 1, to: 2 }, { anchor: 1 }), { text: "ab", told: [[1, 3, ""]], head: 1 });
  assert.deepEqual(changed("a😀b", { from: 2, to: 4 }, { anchor: 2 }), { text: "a", told: [[1, 4, ""]], head: 1 });
  assert.deepEqual(changed("😀😁b", { from: 0, to: 3 }, { anchor: 0 }), { text: "b", told: [[0, 4, ""]], head: 0 });
});

test("half a character that is typed is U+FFFD, as Yjs would have it", () => {
  assert.deepEqual(changed("a😀b", { from: 2, insert: "x" }), { text: "a\ufffdx\ufffdb", told: [[1, 3, "\ufffdx\ufffd"]], head: 0 });
  assert.deepEqual(changed("", { from: 0, insert: "\ude00" }), { text: "\ufffd", told: [[0, 0, "\ufffd"]], head: 0 });
});

test("a change of several places keeps those that need nothing", () => {
  assert.deepEqual(changed("x😀y😀", [{ from: 0, to: 1, insert: "X" }, { from: 5, to: 6, insert: "\ude01" }]), {
    text: "X😀y😁", told: [[0, 1, "X"], [4, 6, "😁"]], head: 0,
  });
});

test("a carriage return beside it stays, as everywhere in the editor", () => {
  assert.deepEqual(changed("a😀", { from: 2, to: 3, insert: "\ude01\r\n" }, { anchor: 5 }), {
    text: "a😁\r\n", told: [[1, 3, "😁\r\n"]], head: 5,
  });
});

test("whole characters are left as they are", () => {
  assert.deepEqual(changed("a😀b", { from: 1, to: 3, insert: "😁" }), { text: "a😁b", told: [[1, 3, "😁"]], head: 0 });
  assert.deepEqual(changed("", { from: 0, insert: "👩‍💻" }), { text: "👩‍💻", told: [[0, 0, "👩‍💻"]], head: 0 });
});
