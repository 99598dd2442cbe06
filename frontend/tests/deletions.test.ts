// A file that is deleted is told with its text as it was, and with what the one who deleted it did not know.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { type Author, type DeletedFile, watchDeletions } from "../src/deletions";

const ID = `f_${"a".repeat(32)}`;
const REMOTE = "remote";

function joined(): { mine: Y.Doc; theirs: Y.Doc; told: DeletedFile[]; author: Author & { isSaved: boolean }; exchange: () => void } {
  const [mine, theirs] = [new Y.Doc(), new Y.Doc()];
  theirs.getMap("files").set("main", "main.py");
  theirs.getMap("files").set(ID, "words.txt");
  theirs.getText(ID).insert(0, "one two three");
  const exchange = (): void => {
    Y.applyUpdate(mine, Y.encodeStateAsUpdate(theirs), REMOTE);
    Y.applyUpdate(theirs, Y.encodeStateAsUpdate(mine), REMOTE);
  };
  exchange();
  const told: DeletedFile[] = [];
  const author = { isFromHere: (origin: unknown) => origin !== REMOTE, isSaved: true };
  watchDeletions(mine, author, (file) => told.push(file));
  return { mine, theirs, told, author, exchange };
}

function remove(doc: Y.Doc): void {
  doc.transact(() => {
    doc.getMap("files").delete(ID);
    doc.getText(ID).delete(0, doc.getText(ID).length);
  });
}

test("the text is told as it was, without what was deleted before", () => {
  const { theirs, told, exchange } = joined();
  theirs.getText(ID).delete(3, 4);
  exchange();
  remove(theirs);
  exchange();
  assert.deepEqual(told, [{ id: ID, path: "words.txt", text: "one three", hasRest: false }]);
});

test("what was typed here meanwhile is in it", () => {
  const { mine, theirs, told, exchange } = joined();
  remove(theirs);
  mine.getText(ID).insert(3, " and a half");
  exchange();
  assert.deepEqual(told, [{ id: ID, path: "words.txt", text: "one and a half two three", hasRest: true }]);
});

test("what comes later from this device into a deleted file is told, and not what others type there", () => {
  const { mine, theirs, told, exchange } = joined();
  remove(theirs);
  exchange();
  told.length = 0;
  theirs.getText(ID).insert(0, "theirs");
  exchange();
  assert.deepEqual(told, []);
  mine.getText(ID).insert(0, "mine and ");
  assert.deepEqual(told, [{ id: ID, path: "words.txt", text: "mine and theirs", hasRest: true }]);
});

test("what the server keeps has a rest only where this device has more than the server", () => {
  for (const isSaved of [true, false]) {
    const { mine, theirs, told, author, exchange } = joined();
    author.isSaved = isSaved;
    mine.getText(ID).insert(3, " and a half");
    theirs.getMap("files").delete(ID);
    exchange();
    assert.deepEqual(told, [{ id: ID, path: "words.txt", text: "one and a half two three", hasRest: !isSaved }]);
  }
});

test("other changes of the list are no deletions", () => {
  const { theirs, told, exchange } = joined();
  theirs.getMap("files").set(ID, "other.txt");
  theirs.getMap("files").set(`f_${"b".repeat(32)}`, "new.txt");
  exchange();
  assert.deepEqual(told, []);
});
