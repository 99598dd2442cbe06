// Keeps the characters of the text whole. Positions count UTF-16 units, and where the browser replaces one emoji by
// another (an input method, a correction) CodeMirror may find that only its second half differs. Yjs would put U+FFFD in
// the place of what was parted, so the server refuses such an edit.
import { ChangeSet, EditorState, type Extension, type Text } from "@codemirror/state";
import { ySyncAnnotation } from "y-codemirror.next";

const LONE_SURROGATE = /\p{Surrogate}/gu;

export function wholeCharacters(): Extension {
  return EditorState.transactionFilter.of((transaction) => {
    if (!transaction.docChanged || transaction.annotation(ySyncAnnotation)) return transaction;
    const before = transaction.startState.doc;
    const after = transaction.newDoc;
    const rewritten: { from: number; to: number; insert: string }[] = [];
    transaction.changes.iterChangedRanges((fromA, toA, fromB, toB) => {
      const from = isInsideCharacter(before, fromA) ? fromB - 1 : fromB;
      const to = isInsideCharacter(before, toA) ? toB + 1 : toB;
      const found = after.sliceString(from, to);
      // What a deletion leaves of a character goes with it.
      const insert = found.replace(LONE_SURROGATE, fromB === toB ? "" : "\ufffd");
      if (from !== fromB || to !== toB || insert !== found) rewritten.push({ from, to, insert });
    });
    if (rewritten.length === 0) return transaction;
    // What is written again over itself becomes one change with its neighbour.
    const changes = ChangeSet.of(rewritten, after.length, transaction.startState.lineBreak);
    const keepsPlaces = rewritten.every(({ from, to, insert }) => insert.length === to - from);
    const selection = keepsPlaces ? transaction.newSelection : transaction.newSelection.map(changes);
    return [transaction, { changes, selection, sequential: true }];
  });
}

function isInsideCharacter(text: Text, position: number): boolean {
  return /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.sliceString(position - 1, position + 1));
}
