import assert from "node:assert/strict";
import { test } from "node:test";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { whereabouts } from "../src/whereabouts";

test("each person is in the file and line of their cursor, and a broken cursor is nowhere", () => {
  const doc = new Y.Doc();
  const other = `f_${"0".repeat(32)}`;
  doc.getText("main").insert(0, "one\ntwo\nthree");
  doc.getText(other).insert(0, "words");
  const files = [{ id: "main", path: "main.py" }, { id: other, path: "data.txt" }];
  const awareness = new Awareness(doc);
  const at = (id: string, index: number): unknown => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(doc.getText(id), index));
  const states: [string, unknown][] = [["ana", at("main", 3)], ["ben", at("main", 4)], ["carol", at(other, 5)], ["eve", { type: 7 }], ["mallory", { item: {} }]];
  for (const [client, [id, head]] of states.entries()) awareness.states.set(client + 1, { user: { id }, cursor: { anchor: head, head } });
  const found = [...whereabouts(awareness, doc, files)].map(([id, { file, index, line }]) => [id, file.path, index, line]);
  assert.deepEqual(found, [["ana", "main.py", 3, 1], ["ben", "main.py", 4, 2], ["carol", "data.txt", 5, 1]]);
  awareness.destroy();
});
