// The files of a shared document, and the one text that stands for all of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { listedFiles, wholeText } from "../src/texts";

const id = (letter: string): string => `f_${letter.repeat(32)}`;

function documentWith(paths: Record<string, unknown>): Y.Doc {
  const doc = new Y.Doc();
  doc.getText("main").insert(0, "entry\n");
  for (const [key, path] of Object.entries(paths)) doc.getMap("files").set(key, path);
  return doc;
}

test("the entry file comes first, then the others by path; what is no file of ours is passed over", () => {
  const doc = documentWith({ main: "main.py", [id("a")]: "z.txt", [id("b")]: "a.txt", other: "x", [id("c")]: 7 });
  assert.deepEqual(listedFiles(doc).map(({ path }) => path), ["main.py", "a.txt", id("c"), "z.txt"]);
});

test("without a list there is the entry file", () => {
  assert.deepEqual(listedFiles(new Y.Doc()), [{ id: "main", path: "main" }]);
});

test("a copy holds every file", () => {
  const doc = documentWith({ main: "main.py" });
  assert.equal(wholeText(doc), "entry\n");
  doc.getMap("files").set(id("a"), "words.txt");
  doc.getText(id("a")).insert(0, "one\n");
  assert.equal(wholeText(doc), "==> main.py <==\nentry\n\n==> words.txt <==\none\n");
});
