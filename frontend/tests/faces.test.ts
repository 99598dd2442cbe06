import assert from "node:assert/strict";
import { test } from "node:test";
import { facesOf } from "../src/faces";

const person = (number: number, username: string, hue = 0) => ({ id: `00000000-0000-0000-0000-${number.toString(16).padStart(12, "0")}`, username, hue });

test("everybody has the hue that the server gave, and every page works out the same letters", () => {
  const people = [person(3, "carol", 1), person(1, "ana", 7), person(9, "anna", 0)];
  const faces = facesOf(people);
  assert.deepEqual(people.map(({ id }) => faces.get(id)?.hue), [1, 7, 0]);
  assert.deepEqual([...facesOf(people.toReversed())], [...faces]);
});

test("letters differ within a room", () => {
  const class_ = Array.from({ length: 41 }, (_, number) => person(number, `student${String(number).padStart(2, "0")}`));
  assert.equal(new Set([...facesOf(class_).values()].map(({ initials }) => initials)).size, 41);
  assert.deepEqual([...facesOf([person(1, "ana"), person(2, "anton"), person(3, "🎈x")]).values()].map(({ initials }) => initials), ["AN", "AO", "🎈X"]);
});
