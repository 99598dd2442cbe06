// Many stock y-websocket clients, unchanged, in one process: commands as JSON lines on stdin, answers on stdout.
// argv: server URL, room, access tokens (one client each), how many times faster than usual their clocks run.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../frontend/package.json", import.meta.url));
const Y = require("yjs");
const { WebsocketProvider } = require("y-websocket");

const [server, room, tokens, speed] = process.argv.slice(2);
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const start = Date.now();
const { now } = Date;
Date.now = () => start + (now() - start) * Number(speed);

const AWARENESS = 1;

class Member {
  constructor(token) {
    this.token = token;
    this.heard = 0;
    this.heardBytes = 0;
    this.said = 0;
    this.moves = 0;
    this.open();
  }

  open() {
    const member = this;
    const { token } = this;
    class Counting extends WebSocket {
      constructor(url, protocols) {
        super(url, { protocols, headers: { authorization: `Bearer ${token}` } });
        this.addEventListener("message", ({ data }) => {
          if (new Uint8Array(data)[0] !== AWARENESS) return;
          member.heard += 1;
          member.heardBytes += data.byteLength;
        });
      }

      send(data) {
        if (data[0] === AWARENESS) member.said += 1;
        super.send(data);
      }
    }
    this.doc = new Y.Doc();
    this.provider = new WebsocketProvider(server, room, this.doc, { WebSocketPolyfill: Counting, disableBc: true });
  }

  move() {
    const text = this.doc.getText("main");
    const place = Y.createRelativePositionFromTypeIndex(text, this.moves++ % (text.length + 1));
    this.provider.awareness.setLocalStateField("cursor", { anchor: place, head: place });
  }

  /** As a page that is reloaded: the old one says nothing more, the new one is another client. */
  reload() {
    const { provider } = this;
    provider.shouldConnect = false;
    clearInterval(provider.awareness._checkInterval);
    provider.ws.close();
    this.open();
  }
}

const members = JSON.parse(tokens).map((token) => new Member(token));
const commands = {
  move: () => members.forEach((member) => member.move()),
  reload: ({ index }) => members[index].reload(),
  look: () =>
    say({
      type: "look",
      synced: members.every(({ provider }) => provider.synced),
      heard: members.map(({ heard }) => heard),
      heard_bytes: members.map(({ heardBytes }) => heardBytes),
      said: members.map(({ said }) => said),
      cursors: members.map(({ provider }) => [...provider.awareness.getStates().values()].filter((s) => s.cursor).length),
      seen: members.map(({ provider, doc }) =>
        [...provider.awareness.getStates()].filter(([id]) => id !== doc.clientID).map(([, state]) => state.user?.name),
      ),
    }),
};
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on("close", () => process.exit(0));
