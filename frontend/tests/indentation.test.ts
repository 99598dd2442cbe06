// One level of indentation is what the text around the caret has, and the language's only where the text says nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Text } from "@codemirror/state";
import { unitAt } from "../src/indentation";

const cases: [string, string[], number, string][] = [
  ["nothing is indented", ["a", "b"], 2, "    "],
  ["tabs above", ["def f(n):", "\tif n:", "\t\tn = 1", ""], 4, "\t"],
  ["tabs above win over spaces further up", ["if a:", "    b", "if c:", "\td", ""], 5, "\t"],
  ["spaces above win over tabs further up", ["if c:", "\td", "if a:", "  b", ""], 5, "  "],
  ["two spaces in Python", ["def f(n):", "  if n:", "    n = 1"], 3, "  "],
  ["the line itself counts", ["if n:", "\tn"], 2, "\t"],
  ["what is below, where nothing is above", ["", "if n:", "  n"], 1, "  "],
  ["a block that goes on deeper", ["    if n:", "        n", "        m"], 3, "    "],
  ["a comment's second line is no level", ["if n:", "    /* a", "     * b", "     */"], 4, "    "],
  ["aligned arguments are rarer than levels", ["if a:", "    b(c,", "      d)", "if a:", "    c", "if a:", "    d"], 7, "    "],
  ["blank lines with spaces say nothing", ["if a:", "  b", "        ", ""], 4, "  "],
];

for (const [what, lines, line, unit] of cases) {
  test(what, () => assert.equal(unitAt(Text.of(lines), line, "    "), unit));
}
