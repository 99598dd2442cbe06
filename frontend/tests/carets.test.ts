// Where other people's carets are drawn: what is no position of this text has no caret, and throws nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { caretPosition, otherPositions } from "../src/carets";

function typed(): Y.Text {
  const doc = new Y.Doc();
  doc.clientID = 1;
  const text = doc.getText("main");
  text.insert(0, "hello");
  return text;
}

const start = { item: { client: 1, clock: 0 } };

test("a cursor is found where Yjs says it is", () => {
  const text = typed();
  const at = (index: number): unknown => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index));
  assert.deepEqual(caretPosition({ cursor: { anchor: at(1), head: at(5) } }, text), { anchor: 1, head: 5 });
});

test("what is no cursor has no place", () => {
  const heads = [null, 7, "x", {}, [], { item: {} }, { item: { client: 1, clock: -1 } }, { item: { client: 9, clock: 0 } },
    { item: { client: 1, clock: 2 ** 53 } }, { item: 5 }, { type: { client: 1, clock: 0 } }, { type: { client: 1, clock: -1 } },
    { tname: "elsewhere" }];
  for (const head of heads) {
    assert.equal(caretPosition({ cursor: { anchor: start, head } }, typed()), null, JSON.stringify(head));
  }
});

test("of somebody's other selections those are shown that are in this text", () => {
  const text = typed();
  const at = (index: number): unknown => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index));
  const cursor = { anchor: at(0), head: at(0), others: [{ anchor: at(1), head: at(2) }, null, { anchor: at(1) }] };
  assert.deepEqual(otherPositions({ cursor } as Parameters<typeof otherPositions>[0], text), [{ anchor: 1, head: 2 }]);
  assert.deepEqual(otherPositions({ cursor: { ...cursor, others: 7 } } as never, text), []);
});
