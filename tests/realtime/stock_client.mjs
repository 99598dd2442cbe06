// The stock y-websocket client, unchanged: commands as JSON lines on stdin, answers as JSON lines on stdout.
// argv: server URL, room, access token. The only addition is the header that signs it in.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../frontend/package.json", import.meta.url));
const Y = require("yjs");
const { WebsocketProvider } = require("y-websocket");

const [server, room, token] = process.argv.slice(2);

class SignedIn extends WebSocket {
  constructor(url, protocols) {
    super(url, { protocols, headers: { authorization: `Bearer ${token}` } });
  }
}

const doc = new Y.Doc();
const text = doc.getText("main");
const provider = new WebsocketProvider(server, room, doc, { WebSocketPolyfill: SignedIn, disableBc: true });
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

provider.on("sync", (synced) => say({ type: "sync", synced }));
provider.on("status", ({ status }) => say({ type: "status", status }));
text.observe(() => say({ type: "text", text: text.toString() }));
const sayPeople = () =>
  say({ type: "people", people: [...provider.awareness.getStates().values()].map((state) => state.user ?? null) });
provider.awareness.on("change", sayPeople);

const commands = {
  insert: ({ at, text: inserted }) => text.insert(at, inserted),
  delete: ({ at, length }) => text.delete(at, length),
  announce: ({ state }) => provider.awareness.setLocalState(state),
  people: sayPeople,
  done: () => say({ type: "done" }),
  reconnect: () => {
    provider.disconnect();
    provider.connect();
  },
  quit: () => {
    provider.destroy();
    process.exit(0);
  },
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
