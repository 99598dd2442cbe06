// How much a text takes on the server is counted in UTF-8.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Text } from "@codemirror/state";
import { bytesAbove } from "../src/fits";

test("a text is measured in UTF-8, with its line breaks", () => {
  const text = Text.of(["é👩", "", "abc"]);
  assert.equal(bytesAbove(text, 11), 0);
  assert.equal(bytesAbove(text, 10), 11);
  assert.equal(bytesAbove(text, Infinity), 0);
});
