import assert from "node:assert/strict";
import { test } from "node:test";
import { noteServerTime, serverNow } from "../src/clock";

const told = (time: number): string => new Date(time).toUTCString();
const HOUR = 3_600_000;

test("the server's time counts, not the device's, and an answer out of a cache does not set it back", () => {
  const server = Math.floor(Date.now() / 1_000) * 1_000 - 3 * HOUR;
  const now = performance.now();
  noteServerTime(told(server), now, now);
  assert.ok(Math.abs(serverNow() - server) < 60_000);
  for (const wrong of [null, "yesterday", told(server - HOUR)]) noteServerTime(wrong, now, now);
  assert.ok(Math.abs(serverNow() - server) < 60_000);
});
