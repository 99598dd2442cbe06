// After a refused change, what was done before it can be undone in the document that is loaded anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { carryOver, loadWith } from "../src/carried";

test("steps before a refused change are undone and done again, and the refused one is gone", () => {
  const old = new Y.Doc();
  const server = new Y.Doc();
  const updates: Uint8Array[] = [];
  old.on("update", (update: Uint8Array) => updates.push(update));
  const text = old.getText("main");
  const manager = new Y.UndoManager(text, { captureTimeout: 0 });
  text.insert(0, "one two three");
  text.delete(3, 4);
  text.insert(0, "zero ");
  for (const update of updates) Y.applyUpdate(server, update);
  // Refused: the server never gets it.
  old.transact(() => {
    text.delete(0, 5);
    text.insert(0, "far too long");
  });
  const served = Y.encodeStateAsUpdate(server);
  const next = new Y.Doc();
  loadWith(next, Y.encodeStateAsUpdate(old), served, "server");
  const again = next.getText("main");
  assert.equal(again.toString(), "zero one three");
  const carried = new Y.UndoManager(again, { captureTimeout: 0 });
  carryOver({ undo: manager.undoStack, redo: manager.redoStack }, carried);
  const seen = [0, 1, 2].map(() => {
    carried.undo();
    return again.toString();
  });
  assert.deepEqual(seen, ["one three", "one two three", ""]);
  assert.equal(carried.undo(), null);
  carried.redo();
  carried.redo();
  assert.equal(again.toString(), "one three");
  // Whatever is done goes to the server as any other edit.
  Y.applyUpdate(server, Y.encodeStateAsUpdate(next, Y.encodeStateVector(server)));
  assert.equal(server.getText("main").toString(), "one three");
  assert.equal(server.store.pendingStructs, null);
});
