import assert from "node:assert/strict";
import { test } from "node:test";
import { facesOf, ownHue } from "../src/faces";

const person = (number: number, username: string) => ({ id: `00000000-0000-0000-0000-${number.toString(16).padStart(12, "0")}`, username });

test("eight people have eight hues, whatever their own are", () => {
  const people = Array.from({ length: 8 }, (_, number) => person(8 * number, `person${number}`));
  assert.equal(new Set(people.map(({ id }) => ownHue(id))).size, 1);
  assert.equal(new Set([...facesOf(people).values()].map(({ hue }) => hue)).size, 8);
});

test("somebody whose hue nobody else has keeps it, and every page works out the same", () => {
  const people = [person(3, "carol"), person(1, "ana"), person(9, "ben")];
  const faces = facesOf(people);
  assert.equal(faces.get(person(3, "").id)?.hue, 3);
  assert.equal(faces.get(person(1, "").id)?.hue, 1);
  assert.deepEqual([...facesOf(people.toReversed())], [...faces]);
});

test("letters differ within a room", () => {
  const class_ = Array.from({ length: 41 }, (_, number) => person(number, `student${String(number).padStart(2, "0")}`));
  assert.equal(new Set([...facesOf(class_).values()].map(({ initials }) => initials)).size, 41);
  assert.deepEqual([...facesOf([person(1, "ana"), person(2, "anton"), person(3, "🎈x")]).values()].map(({ initials }) => initials), ["AN", "AO", "🎈X"]);
});
