// An update that is cut says the same as the whole, each part builds on those before it only, and none is too long.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { splitUpdate } from "../src/split";

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

const TEXTS = ["main", `f_${"a".repeat(32)}`];
const WORDS = ["a", "bc", "é", "👩", "\n", "long ".repeat(40)];

function edit(doc: Y.Doc, pick: (below: number) => number): void {
  const text = doc.getText(TEXTS[pick(2)]);
  const characters = [...text.toString()];
  const at = pick(characters.length + 1);
  const index = characters.slice(0, at).join("").length;
  const cut = characters.slice(at, at + pick(4)).join("").length;
  doc.transact(() => {
    if (cut > 0) text.delete(index, cut);
    if (pick(3) > 0) text.insert(index, WORDS[pick(WORDS.length)] as string);
  });
  if (pick(20) === 0) doc.getMap("files").set(`f_${"abcdef"[pick(6)]?.repeat(32)}`, `path-${pick(99)}`);
}

/** Merges the parts one by one into a copy; nothing may wait for what comes later. */
function merged(base: Uint8Array, parts: Uint8Array[], longest?: (length: number) => void): Y.Doc {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, base);
  for (const part of parts) {
    Y.applyUpdate(doc, part);
    assert.equal(doc.store.pendingStructs, null);
    assert.equal(doc.store.pendingDs, null);
    longest?.(doc.getText("main").length);
  }
  return doc;
}

function assertSame(one: Y.Doc, other: Y.Doc): void {
  for (const name of TEXTS) assert.equal(one.getText(name).toString(), other.getText(name).toString());
  assert.deepEqual(one.getMap("files").toJSON(), other.getMap("files").toJSON());
  assert.deepEqual(Y.encodeStateVector(one), Y.encodeStateVector(other));
  assert.deepEqual(Y.encodeStateAsUpdate(one), Y.encodeStateAsUpdate(other));
}

test("what several devices wrote offline arrives in parts", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const pick = random(seed);
    const server = new Y.Doc();
    for (let count = 0; count < 30; count += 1) edit(server, pick);
    const base = Y.encodeStateAsUpdate(server);
    const devices = [0, 1, 2].map(() => {
      const doc = new Y.Doc();
      Y.applyUpdate(doc, base);
      return doc;
    });
    for (let count = 0; count < 200; count += 1) {
      const [one, other] = [devices[pick(3)] as Y.Doc, devices[pick(3)] as Y.Doc];
      edit(one, pick);
      if (pick(4) === 0) Y.applyUpdate(other, Y.encodeStateAsUpdate(one));
    }
    const mine = devices[0] as Y.Doc;
    for (const other of devices) Y.applyUpdate(mine, Y.encodeStateAsUpdate(other));
    const whole = Y.encodeStateAsUpdate(mine, Y.encodeStateVector(server));
    for (const deletionsFirst of [false, true]) {
      const most = 300 + pick(2_000);
      const parts = splitUpdate(whole, most, deletionsFirst);
      assert.ok(parts.every((part) => part.length <= most));
      assertSame(merged(base, parts), merged(base, [whole]));
    }
  }
});

function replaced(content: string, what: RegExp, by: string): { base: Uint8Array; update: Uint8Array; doc: Y.Doc; undo: Y.UndoManager } {
  const doc = new Y.Doc();
  doc.getText("main").insert(0, content);
  const base = Y.encodeStateAsUpdate(doc);
  const undo = new Y.UndoManager(doc.getText("main"));
  let update = new Uint8Array();
  doc.once("update", (made: Uint8Array) => (update = made as Uint8Array<ArrayBuffer>));
  doc.transact(() => {
    const text = doc.getText("main");
    for (const match of [...content.matchAll(what)].reverse()) {
      text.delete(match.index, match[0].length);
      text.insert(match.index, by);
    }
  });
  return { base, update, doc, undo };
}

test("replacing all and undoing that never makes the text longer than it is before or after", () => {
  for (const by of [";", "", ";;;"]) {
    const { base, update, doc, undo } = replaced("12,".repeat(5_000), /,/g, by);
    const after = doc.getText("main").length;
    const parts = splitUpdate(update, 20_000);
    assert.ok(parts.length > 3 || by === "");
    const shorter = (length: number): void => assert.ok(length <= Math.max(15_000, after));
    assertSame(merged(base, parts, shorter), merged(base, [update]));
    let back = new Uint8Array();
    doc.once("update", (made: Uint8Array) => (back = made as Uint8Array<ArrayBuffer>));
    undo.undo();
    assertSame(merged(base, [...parts, ...splitUpdate(back, 20_000)], shorter), merged(base, [update, back]));
  }
});

test("one long insertion is cut between characters", () => {
  const doc = new Y.Doc();
  doc.getText("main").insert(0, "👩".repeat(5_000));
  const parts = splitUpdate(Y.encodeStateAsUpdate(doc), 1_001);
  assert.ok(parts.length > 10);
  const whole = merged(Y.encodeStateAsUpdate(new Y.Doc()), parts, (length) => assert.equal(length % 2, 0));
  assert.equal(whole.getText("main").toString(), doc.getText("main").toString());
});
