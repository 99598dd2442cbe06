// The load client, the same for every server: opens sockets, types at a fixed pace, and notes when each reader has each
// edit. argv[2] is the job as JSON; every line on stdout is JSON. `{"at":"begin"}` and `{"at":"end"}` enclose the time
// in which run.py counts the server's processor time; the last line is the outcome.
import { performance } from "node:perf_hooks";
import { readFileSync } from "node:fs";
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import WebSocket from "ws";
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate } from "y-protocols/awareness";
import * as Y from "yjs";

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const [SYNC, AWARENESS] = [0, 1];
const [STEP_1, STEP_2, UPDATE] = [0, 1, 2];
const EMPTY_STATE = Uint8Array.of(0);
const EMPTY_UPDATE = Uint8Array.of(0, 0);

function syncFrame(room, step, body) {
  const encoder = encoding.createEncoder();
  if (job.dialect === "hocuspocus") encoding.writeVarString(encoder, room);
  encoding.writeVarUint(encoder, SYNC);
  encoding.writeVarUint(encoder, step);
  encoding.writeVarUint8Array(encoder, body);
  return encoding.toUint8Array(encoder);
}

function authFrame(room) {
  const encoder = encoding.createEncoder();
  encoding.writeVarString(encoder, room);
  encoding.writeVarUint(encoder, 2);
  encoding.writeVarUint(encoder, 0);
  encoding.writeVarString(encoder, "token");
  return encoding.toUint8Array(encoder);
}

/** [step, body] of a sync frame, null for any other. */
function readSync(data) {
  const decoder = decoding.createDecoder(data);
  if (job.dialect === "hocuspocus") decoding.readVarString(decoder);
  const type = decoding.readVarUint(decoder);
  if (type !== SYNC && !(job.dialect === "hocuspocus" && type === 4)) return null;
  const step = decoding.readVarUint(decoder);
  return [step, decoding.readVarUint8Array(decoder)];
}

/** client id -> how many of its edits there are after this frame. A room's readers all get the same bytes: read once. */
const known = new Map();
function editsIn(data) {
  const key = data.latin1Slice(0, data.length);
  let found = known.get(key);
  if (found === undefined) {
    const sync = readSync(data);
    found = sync !== null && sync[0] === UPDATE ? [...Y.parseUpdateMeta(sync[1]).to] : [];
    if (known.size > 5000) known.clear();
    known.set(key, found);
  }
  return found;
}

class Writer {
  constructor(clientId, edits) {
    const doc = new Y.Doc();
    doc.clientID = clientId;
    const text = doc.getText("main");
    this.updates = [];
    doc.on("update", (update) => this.updates.push(update));
    for (let index = 0; index < edits; index += 1) text.insert(text.length, "x");
    this.sentAt = new Float64Array(edits);
    this.next = 0;
  }
}

const writers = new Map();
const deliveries = [];
const acks = [];
let isMeasuring = false;

class Client {
  constructor(room, server, token, writer) {
    this.room = room;
    this.writer = writer;
    this.has = new Map();
    this.frames = [];
    this.firstUnacked = 0;
    this.lateness = [];
    this.url = server.includes("{room}") ? server.replace("{room}", room) : server;
    this.token = token;
  }

  /** Resolves with the milliseconds until the whole document is here, or until the socket is open. */
  open() {
    const started = performance.now();
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    const socket = new WebSocket(this.url, job.subprotocol ? [job.subprotocol] : [], { headers, perMessageDeflate: false });
    this.socket = socket;
    return new Promise((resolve, reject) => {
      socket.on("open", () => {
        if (job.dialect === "hocuspocus") socket.send(authFrame(this.room));
        if (job.dialect === "relay") resolve(performance.now() - started);
        else socket.send(syncFrame(this.room, STEP_1, EMPTY_STATE));
      });
      socket.on("error", reject);
      socket.on("close", (code, reason) => {
        if (!this.isLeaving) {
          say({ at: "lost", code, reason: reason.toString() });
          process.exit(1);
        }
      });
      socket.on("message", (data, isBinary) => {
        this.heard?.(data, isBinary);
        if (!isBinary) return this.text(data);
        if (this.isOpen || job.dialect === "relay") return this.update(data);
        const sync = readSync(data);
        if (sync === null) return;
        if (sync[0] === STEP_1) this.sendSync(STEP_2, EMPTY_UPDATE);
        if (sync[0] === STEP_2) {
          this.isOpen = true;
          this.document = sync[1];
          resolve(performance.now() - started);
        }
      });
    });
  }

  sendSync(step, body) {
    this.frames.push(performance.now());
    this.socket.send(syncFrame(this.room, step, body));
  }

  text(data) {
    const message = JSON.parse(data);
    if (message.type !== "ack") return;
    const now = performance.now();
    for (; this.firstUnacked < message.received; this.firstUnacked += 1) {
      if (isMeasuring) acks.push(now - this.frames[this.firstUnacked]);
    }
  }

  update(data) {
    const now = performance.now();
    for (const [clientId, count] of editsIn(data)) {
      const writer = writers.get(clientId);
      if (writer === undefined || writer === this.writer) continue;
      const from = this.has.get(clientId) ?? 0;
      if (count <= from) continue;
      this.has.set(clientId, count);
      if (isMeasuring) {
        for (let index = from; index < count; index += 1) deliveries.push(now - writer.sentAt[index]);
        if (this.isWatched) this.lateness.push(...[...Array(count - from).keys()].map((n) => now - writer.sentAt[from + n]));
      }
    }
    if (!this.answered && data.length < 40) {
      const sync = readSync(data);
      if (sync !== null && sync[0] === STEP_1) {
        this.answered = true;
        this.sendSync(STEP_2, EMPTY_UPDATE);
      }
    }
  }

  type() {
    const { writer } = this;
    if (writer.next === writer.updates.length) return false;
    writer.sentAt[writer.next] = performance.now();
    this.sendSync(UPDATE, writer.updates[writer.next]);
    writer.next += 1;
    return true;
  }

  async typeForever(perSecond) {
    const step = 1000 / perSecond;
    let due = performance.now() + Math.random() * step;
    while (!this.isLeaving) {
      await pause(Math.max(0, due - performance.now()));
      if (this.isLeaving || !this.type()) return;
      due += step;
    }
  }

  leave() {
    this.isLeaving = true;
    this.socket.close();
  }
}

function figures(samples) {
  const sorted = Float64Array.from(samples).sort();
  const at = (share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null);
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

async function openAll(clients, atOnce = 20) {
  const waiting = [...clients];
  const worker = async () => {
    for (let client = waiting.shift(); client !== undefined; client = waiting.shift()) await client.open();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** People who type, and people who read: job.rooms[] = {room, writers, readers}. */
async function typing() {
  const clients = [];
  const edits = Math.ceil((job.warmup + job.seconds + 2) * job.rate);
  let number = 0;
  const nextToken = () => (job.tokens.length ? job.tokens[number++ % job.tokens.length] : "");
  for (const { room, writers: writing, readers } of job.rooms) {
    for (let index = 0; index < writing; index += 1) {
      const clientId = 1000 + Math.floor(Math.random() * 2 ** 31);
      const writer = new Writer(clientId, edits);
      writers.set(clientId, writer);
      clients.push(new Client(room, job.servers[0], nextToken(), writer));
    }
    for (let index = 0; index < readers; index += 1) {
      clients.push(new Client(room, job.servers[index % job.servers.length], nextToken(), null));
      clients.at(-1).isWatched = job.servers.length > 1;
      clients.at(-1).server = index % job.servers.length;
    }
  }
  await openAll(clients);
  const work = clients.filter((client) => client.writer).map((client) => client.typeForever(job.rate));
  await pause(job.warmup * 1000);
  isMeasuring = true;
  const own = process.cpuUsage();
  say({ at: "begin" });
  await pause(job.seconds * 1000);
  isMeasuring = false;
  say({ at: "end" });
  const used = process.cpuUsage(own);
  const clientCpu = (used.user + used.system) / 1e6 / job.seconds;
  const byServer = job.servers.map((_, index) =>
    figures(clients.filter((client) => client.server === index).flatMap((client) => client.lateness)),
  );
  for (const client of clients) client.leave();
  await Promise.all(work);
  return { delivery: figures(deliveries), ack: figures(acks), client_cpu: clientCpu, by_server: byServer };
}

/** How long it takes until a newcomer has the whole document, and until its Yjs has taken it in. */
async function joining() {
  const [{ room }] = job.rooms;
  const began = performance.now();
  // Keeps the room in memory at every server, so that all of them are asked the same.
  const guard = new Client(room, job.servers[0], job.tokens[0], null);
  await guard.open();
  const cold = job.document ? null : performance.now() - began;
  if (job.document) {
    guard.socket.send(syncFrame(room, UPDATE, readFileSync(job.document)));
    await pause(10_000);
  }
  const times = [];
  const applied = [];
  let bytes = 0;
  say({ at: "begin" });
  for (let index = 0; index < job.joins; index += 1) {
    const client = new Client(room, job.servers[0], job.tokens[0], null);
    times.push(await client.open());
    bytes = client.document.length;
    if (bytes < 1000) throw new Error(`${bytes} bytes came instead of the document`);
    const started = performance.now();
    Y.applyUpdate(new Y.Doc(), client.document);
    applied.push(times.at(-1) + performance.now() - started);
    client.leave();
    await pause(50);
  }
  say({ at: "end" });
  guard.leave();
  return { cold, join: figures(times), usable: figures(applied), bytes };
}

/** Opens one socket in each room, types a little, and leaves; says when each part of the rooms is through. */
async function visiting() {
  for (let part = 0; part < job.parts; part += 1) {
    const size = Math.ceil(job.rooms.length / job.parts);
    const clients = job.rooms.slice(part * size, (part + 1) * size).map(({ room }, index) => {
      const clientId = 1000 + Math.floor(Math.random() * 2 ** 31);
      const writer = new Writer(clientId, 3);
      return new Client(room, job.servers[0], job.tokens[index % job.tokens.length], writer);
    });
    await openAll(clients);
    for (const client of clients) while (client.type());
    await pause(1000);
    for (const client of clients) client.leave();
    await pause(job.settle * 1000);
    say({ at: "part" });
  }
  return {};
}

async function idling() {
  const clients = job.rooms.flatMap(({ room, readers }) =>
    Array.from({ length: readers }, (_, index) => new Client(room, job.servers[0], job.tokens[index % job.tokens.length], null)),
  );
  // Rooms and code paths are warm before the first measurement.
  await openAll(clients.splice(0, job.warm));
  await pause(2000);
  say({ at: "begin" });
  await openAll(clients);
  await pause(3000);
  say({ at: "end" });
  return { sockets: clients.length };
}

/** Cursors as y-websocket and Hocuspocus' provider handle them: what is heard is sent again, one's own every 15 s. A page
 * of ours, with job.renewals "off", does neither. */
class Pointing extends Client {
  constructor(...given) {
    super(...given);
    this.traffic = { frames_out: 0, bytes_out: 0, frames_in: 0, bytes_in: 0 };
    this.awareness = new Awareness(new Y.Doc());
    if (job.renewals === "off") {
      this.url += "?renewals=off";
      clearInterval(this.awareness._checkInterval);
    }
    this.awareness.on("update", ({ added, updated, removed }, origin) => {
      if (job.renewals === "off" && origin !== "local") return;
      const encoder = encoding.createEncoder();
      if (job.dialect === "hocuspocus") encoding.writeVarString(encoder, this.room);
      encoding.writeVarUint(encoder, AWARENESS);
      encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(this.awareness, [...added, ...updated, ...removed]));
      const frame = encoding.toUint8Array(encoder);
      if (this.socket?.readyState !== WebSocket.OPEN) return;
      this.traffic.frames_in += 1;
      this.traffic.bytes_in += frame.length;
      this.socket.send(frame);
    });
  }

  heard(data, isBinary) {
    this.traffic.frames_out += 1;
    this.traffic.bytes_out += data.length;
    if (!isBinary) return;
    const decoder = decoding.createDecoder(data);
    if (job.dialect === "hocuspocus") decoding.readVarString(decoder);
    if (decoding.readVarUint(decoder) === AWARENESS) {
      applyAwarenessUpdate(this.awareness, decoding.readVarUint8Array(decoder), "server");
    }
  }

  point(at) {
    const place = { type: null, tname: "main", item: { client: this.awareness.clientID, clock: at }, assoc: 0 };
    const user = { name: "Somebody with a name", color: "#30bced", colorLight: "#30bced33" };
    this.awareness.setLocalState({ user, cursor: { anchor: place, head: place } });
  }
}

/** People who have all moved and then sit still. */
async function resting() {
  const [{ room, readers }] = job.rooms;
  const clients = Array.from({ length: readers }, (_, index) => {
    return new Pointing(room, job.servers[0], job.tokens[index % job.tokens.length], null);
  });
  await openAll(clients);
  for (let at = 0; at < 5; at += 1) {
    for (const client of clients) client.point(at);
    await pause(50);
  }
  await pause(job.warmup * 1000);
  const total = (kind) => clients.reduce((sum, { traffic }) => sum + traffic[kind], 0);
  const before = Object.fromEntries(Object.keys(clients[0].traffic).map((kind) => [kind, total(kind)]));
  say({ at: "begin" });
  await pause(job.seconds * 1000);
  say({ at: "end" });
  const traffic = Object.fromEntries(Object.keys(before).map((kind) => [kind, (total(kind) - before[kind]) / job.seconds]));
  const seen = Math.min(...clients.map(({ awareness }) => awareness.getStates().size));
  if (seen < readers) throw new Error(`somebody sees ${seen} of ${readers} cursors`);
  for (const client of clients) client.leave();
  return traffic;
}

const outcome = await { typing, joining, visiting, idling, resting }[job.kind]();
say({ at: "done", ...outcome });
process.exit(0);
