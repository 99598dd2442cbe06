// Random edits by several people through the server: yjs's own test helper makes the people and compares their documents,
// y-websocket carries what they do. argv[2]: a job as JSON file. With undo, each person's last own edits are undone as
// the page does it, and no character of anybody else may go with them. With emoji, they type and delete by UTF-16 units.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../frontend/package.json", import.meta.url));
const folder = new URL("../../frontend/node_modules/", import.meta.url);
const load = (path) => import(new URL(path, folder).href);
const T = await load("yjs/dist/testHelper.mjs");
const prng = await load("lib0/prng.js");
const decoding = await load("lib0/decoding.js");
const encoding = await load("lib0/encoding.js");

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A y-websocket client without its timers: the test helper has a build of yjs of its own, which y-websocket's is not. */
class Wire {
  constructor(doc, { server, token }, room) {
    this.doc = doc;
    this.socket = new WebSocket(`${server}/${room}`, { headers: { authorization: `Bearer ${token}` } });
    this.socket.binaryType = "arraybuffer";
    this.isSynced = false;
    this.socket.onopen = () => this.#send(0, T.encodeStateVector(doc));
    this.socket.onmessage = ({ data }) => this.#take(new Uint8Array(data));
    this.socket.onclose = ({ code }) => {
      if (!this.isLeaving) throw new Error(`closed with ${code}`);
    };
    doc.on("update", (update, origin) => {
      if (origin !== this && this.socket.readyState === 1) this.#send(2, update);
    });
  }

  #send(step, body) {
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, 0);
    encoding.writeVarUint(encoder, step);
    encoding.writeVarUint8Array(encoder, body);
    this.socket.send(encoding.toUint8Array(encoder));
  }

  #take(data) {
    const decoder = decoding.createDecoder(data);
    if (decoding.readVarUint(decoder) !== 0) return;
    const step = decoding.readVarUint(decoder);
    const body = decoding.readVarUint8Array(decoder);
    if (step === 0) return this.#send(1, T.encodeStateAsUpdate(this.doc, body));
    T.applyUpdate(this.doc, body, this);
    if (step === 1) this.isSynced = true;
  }

  leave() {
    this.isLeaving = true;
    this.socket.close();
  }
}

const LETTERS = ["abc", "def", "ghi", "jkl", "mno"];
const only = (text, letters) => [...text].filter((character) => letters.includes(character)).join("");
function isWithin(part, whole) {
  let at = 0;
  for (const character of whole) if (character === part[at]) at += 1;
  return at === part.length;
}

const FACES = ["😀", "😁", "👩", "a", "\n"];

let undone = 0;
const ends = {};
const seed = job.seed;
for (let round = 0; round < job.rounds; round += 1) {
  const gen = prng.create(seed + round);
  const { users } = T.init({ prng: gen }, { users: job.people.length });
  // Their own connector carries nothing: what they hear of each other came through the server.
  for (const user of users) {
    user.disconnect();
    user.clientID = 1000 + Math.floor(Math.random() * 2 ** 31);
  }
  const texts = users.map((user) => user.getText("main"));
  const origins = users.map((_, index) => ({ person: index }));
  // An undo manager keeps what was deleted, so the struct stores of those who have one are not comparable.
  const managers = (job.undo ? texts : []).map((text, index) => {
    return new T.UndoManager(text, { captureTimeout: prng.bool(gen) ? 0 : 400, trackedOrigins: new Set([origins[index]]) });
  });
  const room = job.rooms[round % job.rooms.length];
  const wires = users.map((user, index) => new Wire(user, job.people[index], room));
  while (!wires.every((wire) => wire.isSynced)) await pause(2);

  const mods = [
    (index) => {
      const word = prng.word(gen, 1, 6);
      const letters = job.emoji ? FACES : LETTERS[index];
      const typed = [...word].map((c) => letters[c.charCodeAt(0) % letters.length]).join("");
      texts[index].insert(prng.int32(gen, 0, texts[index].length), typed);
    },
    (index) => {
      const { length } = texts[index];
      if (length === 0) return;
      const at = prng.int32(gen, 0, length - 1);
      texts[index].delete(at, prng.int32(gen, 1, Math.min(4, length - at)));
    },
  ];
  for (let step = 0; step < job.steps; step += 1) {
    const index = prng.int32(gen, 0, users.length - 1);
    const choice = prng.int32(gen, 0, 9);
    if (job.undo && choice >= 7) {
      const before = texts[index].toString();
      managers[index].undo();
      undone += 1;
      const after = texts[index].toString();
      LETTERS.forEach((letters, other) => {
        if (other !== index && !isWithin(only(before, letters), only(after, letters))) {
          say({ at: "failed", why: "an undo removed another's characters", seed: seed + round, step, before, after });
          process.exit(1);
        }
      });
    } else {
      users[index].transact(() => mods[choice >= 5 ? 1 : 0](index), origins[index]);
    }
    if (prng.int32(gen, 0, 4) === 0) await pause(prng.int32(gen, 0, 3));
  }
  const same = () => {
    const states = users.map((user) => JSON.stringify([...T.decodeStateVector(T.encodeStateVector(user))].sort()));
    // Half a character that somebody typed is U+FFFD for everybody else.
    const strings = texts.map((text) => text.toString().toWellFormed());
    return states.every((state) => state === states[0]) && strings.every((text) => text === strings[0]);
  };
  const deadline = Date.now() + 60_000;
  while (!same()) {
    if (Date.now() > deadline) {
      say({ at: "failed", why: "they did not become the same", seed: seed + round });
      process.exit(1);
    }
    await pause(2);
  }
  for (const wire of wires) wire.leave();
  for (const manager of managers) manager.destroy();
  // yjs's own comparison: no pending structs, equal state vectors, delete sets and struct stores.
  if (!job.undo && !job.emoji) T.compare(users);
  ends[room] = texts[0].toString().toWellFormed();
}
say({ at: "end", rounds: job.rounds, undone, ends });
process.exit(0);
