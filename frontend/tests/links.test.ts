import assert from "node:assert/strict";
import { test } from "node:test";
import { addressesIn } from "../src/links";

const hrefs = (text: string): string[] => addressesIn(text).flatMap(({ href }) => (href ? [href] : []));

test("web addresses are found, without the end of the sentence", () => {
  assert.deepEqual(addressesIn("see https://docs.example/a_(b).html, or (http://b.example/?q=1)."), [
    { text: "see ", href: null },
    { text: "https://docs.example/a_(b).html", href: "https://docs.example/a_(b).html" },
    { text: ", or (", href: null },
    { text: "http://b.example/?q=1", href: "http://b.example/?q=1" },
    { text: ").", href: null },
  ]);
  assert.deepEqual(hrefs("HTTPS://A.example/Ä\nhttp://b.example"), ["https://a.example/%C3%84", "http://b.example/"]);
});

test("nothing but a plain web address becomes a link", () => {
  const others = [
    "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//a.example", "www.a.example", "https://", "http:// a", "xhttps://a.example",
    "https://bank.example@evil.example/", "https://user:word@evil.example", "javascript://https%0Aalert(1)",
  ];
  for (const text of others) assert.deepEqual(hrefs(text), [], text);
  assert.deepEqual(hrefs("https://a.example/\u202egpj.exe"), ["https://a.example/"]);
});

test("all of the text is there, and the links are few, whatever it is", () => {
  for (const text of ["http://".repeat(20_000), "http://a ".repeat(20_000), "https://(".repeat(20_000), `http://a${")".repeat(100_000)}`, "İhttp://a.example"]) {
    const pieces = addressesIn(text);
    assert.equal(pieces.map((piece) => piece.text).join(""), text);
    assert.ok(pieces.length <= 101);
  }
});
