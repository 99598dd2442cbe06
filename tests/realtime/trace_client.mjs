// A trace of several people (github.com/josephg/editing-traces) typed through stock y-websocket providers, each at the
// server it is given. argv[2]: a job as JSON file. Every edit is made on its parents alone, as it was once typed, and
// comes into its author's document once that one holds them: so the end is the trace's own.
// The socket is the page's: it takes text frames aside and counts step 2 and update frames, to know what was acknowledged.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../frontend/package.json", import.meta.url));
const Y = require("yjs");
const { WebsocketProvider } = require("y-websocket");
const decoding = require("lib0/decoding");

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const acknowledged = [];

function socketClass(token) {
  return class extends WebSocket {
    constructor(url) {
      super(url, { protocols: ["codecrafter.v1"], headers: { authorization: `Bearer ${token}` } });
      const sent = [];
      let done = 0;
      this.addEventListener("message", (event) => {
        if (typeof event.data !== "string") return;
        event.stopImmediatePropagation();
        const message = JSON.parse(event.data);
        if (message.type === "ack") for (; done < message.received; done += 1) acknowledged.push(sent[done]);
        if (message.type === "refused") say({ at: "refused", message });
      });
      // Node 20's socket ends a refused connection with an error and no close, for which y-websocket would wait for ever.
      let isClosed = false;
      this.addEventListener("close", () => (isClosed = true));
      this.addEventListener("error", () => {
        setTimeout(() => isClosed || this.onclose?.(Object.assign(new Event("close"), { code: 1006, reason: "" })), 10);
      });
      const send = this.send.bind(this);
      this.send = (data) => {
        if (data instanceof Uint8Array && data[0] === 0 && (data[1] === 1 || data[1] === 2)) {
          const decoder = decoding.createDecoder(data.subarray(2));
          sent.push(decoding.readVarUint8Array(decoder).slice());
        }
        send(data);
      };
    }
  };
}

/** Everything, without a server between: what all of them must end with. */
const control = new Y.Doc();

class Agent {
  constructor(index) {
    const { server, token } = job.agents[index];
    // What this person saw while typing, whatever has reached the document since.
    this.seen = new Y.Doc();
    this.seen.clientID = index + 10;
    this.known = new Set();
    this.doc = new Y.Doc();
    this.text = this.doc.getText("main");
    this.provider = new WebsocketProvider(server, job.room, this.doc, {
      WebSocketPolyfill: socketClass(token), disableBc: true, maxBackoffTime: 500,
    });
    this.doc.on("update", (update, origin) => {
      if (origin !== this.provider) Y.applyUpdate(control, update);
    });
  }

  holds({ client, clock }) {
    return Y.getState(this.doc.store, client) >= clock;
  }

  /** An edit that only deletes has no clock: its text is what its author had, so it is waited for as a state. */
  async until(condition) {
    while (!condition()) {
      await new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.doc.off("update", done);
          resolve();
        };
        const timer = setTimeout(done, 200);
        this.doc.on("update", done);
      });
    }
  }
}

const agents = job.agents.map((_, index) => new Agent(index));
await Promise.all(agents.map((agent) => agent.until(() => agent.provider.synced)));
say({ at: "synced" });

const ends = [];
const deletes = [];
const updates = [];

/** Show this person the edits that the next one was made on, and all that those were made on. */
function see(agent, parents) {
  const missing = [];
  for (const waiting = [...parents]; waiting.length; ) {
    const parent = waiting.pop();
    if (agent.known.has(parent)) continue;
    agent.known.add(parent);
    missing.push(parent);
    waiting.push(...job.txns[parent].parents);
  }
  for (const parent of missing.sort((a, b) => a - b)) Y.applyUpdate(agent.seen, updates[parent]);
}

/** Returns the edit as an update. */
function type(agent, number, patches) {
  const made = [];
  const gone = [];
  const keep = (update) => made.push(update);
  const note = (transaction) => {
    for (const [client, ranges] of transaction.deleteSet.clients) {
      for (const range of ranges) gone.push({ client, clock: range.clock });
    }
  };
  agent.seen.on("update", keep);
  agent.seen.on("afterTransaction", note);
  agent.seen.transact(() => {
    const text = agent.seen.getText("main");
    for (const [position, deleted, inserted] of patches) {
      if (deleted) text.delete(position, deleted);
      if (inserted) text.insert(position, inserted);
    }
  });
  agent.seen.off("afterTransaction", note);
  agent.seen.off("update", keep);
  agent.known.add(number);
  const client = agent.seen.clientID;
  ends.push({ client, clock: Y.getState(agent.seen.store, client) });
  deletes.push(gone);
  updates.push(made.length ? Y.mergeUpdates(made) : Uint8Array.of(0, 0));
  return updates[number];
}

for (const [number, { agent: index, parents, patches }] of job.txns.entries()) {
  const agent = agents[index];
  for (const parent of parents) {
    await agent.until(() => agent.holds(ends[parent]) && deletes[parent].every((id) => isDeleted(agent.doc, id)));
  }
  see(agent, parents);
  Y.applyUpdate(agent.doc, type(agent, number, patches));
  if (number % 20 === 0) {
    say({ at: "step", number, of: job.txns.length });
    await new Promise((resolve) => setTimeout(resolve, job.pace));
  }
}

function isDeleted(doc, { client, clock }) {
  const structs = doc.store.clients.get(client);
  if (structs === undefined || Y.getState(doc.store, client) <= clock) return false;
  return structs[Y.findIndexSS(structs, clock)].deleted;
}

const expected = control.getText("main").toString();
await Promise.all(agents.map((agent) => agent.until(() => agent.text.toString() === expected)));
await Promise.all(agents.map((agent) => agent.until(() => agent.provider.synced)));
writeFileSync(job.acknowledged, Y.mergeUpdates(acknowledged.length ? acknowledged : [Uint8Array.of(0, 0)]));
say({ at: "end", acknowledged: acknowledged.length, text: expected });
process.exit(0);
