// A shared text that holds something other than text keeps its positions in the editor.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { plainText, standInForNonText } from "../src/editor";

test("what is not text stands as one character, at the start and when it comes later", () => {
  const text = new Y.Doc().getText("main");
  text.insert(0, "ab");
  text.insertEmbed(1, { image: "x" });
  let shown = plainText(text);
  assert.equal(shown.length, text.length);
  standInForNonText(text);
  text.observe((event) => {
    let at = 0;
    for (const { insert, retain, delete: removed } of event.delta) {
      if (typeof insert === "string") shown = shown.slice(0, at) + insert + shown.slice(at);
      else if (removed) shown = shown.slice(0, at) + shown.slice(at + removed);
      at += retain ?? (typeof insert === "string" ? insert.length : 0);
    }
  });
  text.insertEmbed(0, new Y.Map() as unknown as object);
  text.insert(3, "c");
  text.delete(2, 1);
  text.format(0, 2, { bold: true });
  assert.equal(shown, plainText(text));
  assert.equal(shown, "\ufffcacb");
});
