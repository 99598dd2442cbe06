// The protocol client of the live document: no UI. It joins y-websocket to the server's acknowledgements, so that
// "saved" means committed on the server, and to the copy on this device of what is not. The page turns what it reports
// into words. One Collab is one history of the document: when its text cannot be joined to the server's, it ends.
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { serverNow } from "./clock";
import { DeviceCopy } from "./device";
import type { Ending } from "./endings";
import { tooLongWords } from "./fits";
import { IncomingFrames } from "./incoming";
import type { Hello } from "./messages";
import type { Permission } from "./page";
import type { ServerMessage } from "./received";
import type { SaveState } from "./save-state";
import { socketClass } from "./socket";
import { longestBytes, wholeText } from "./texts";
import { UnsavedEdits } from "./unsaved";

export interface CollabEvents {
  state(state: SaveState): void;
  hello(hello: Hello): void;
  /** Everything but hello, ack, access and refused, which are dealt with here. */
  message(message: ServerMessage): void;
  permission(permission: Permission): void;
  /** A full copy of the text is here, the server's or the one on this device: `doc` may be shown. */
  loaded(): void;
  /** The socket is open again after a break: whatever was announced meanwhile was missed. */
  reconnected(): void;
  /** The page must go on with a new Collab, from the server's text. This one is closed. */
  ended(ending: Ending): void;
}

const OTHER_EPOCH = 4409;
const TOO_LARGE = 4413;
const RESTARTING = 1012;
/** With these close codes, the person may no longer have the text. */
const NO_ACCESS = new Set([4403, 4404]);

/** An edit that keeps waiting this long is called "not saved" instead of "saving". */
const SLOW_ACK_MS = 3_000;
/** An edit that waits this long is also kept on the device. */
const KEEP_AFTER_MS = 300;
/** The copy on the device is removed once nothing has waited for this long. */
const RELEASE_AFTER_MS = 1_500;
const LONGEST_BACKOFF_MS = 8_000;
/** Some networks never answer a WebSocket handshake. */
const LONGEST_HANDSHAKE_MS = 15_000;

/** Frames with edits are no longer than this, so that the server takes others' in between; nor than it allows. */
const FRAME_BYTES = 256 * 1024;
/** The limit until the server has said what it allows. */
const FIRST_FRAME_BYTES = 64 * 1024;

export interface CollabOptions {
  sessionId: string;
  userId: string;
  permission: Permission;
  /** The epoch of the history that the page knows, or null: the server will say. */
  epoch: string | null;
  /** The document of an earlier Collab that ended, some of which the server refused. */
  earlier: Uint8Array | null;
}

export class Collab {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText("main");
  readonly provider: WebsocketProvider;
  readonly awareness: Awareness;
  /** How large the text of a file may be, once the server has said it. */
  textBytes = Infinity;

  readonly #device: DeviceCopy;
  readonly #over = new AbortController();
  readonly #unsaved = new UnsavedEdits();
  #socketOpen = false;
  #wasLoaded = false;
  #wasSynced = false;
  #isRestarting = false;
  #offlineSince: Date | null = null;
  #savedAt = new Date(serverNow());
  #closed: number | null = null;
  #handshakeSince = 0;
  #epoch: string | null;
  #permission: Permission;
  #shown = "";
  #frameBytes = FIRST_FRAME_BYTES;
  readonly #incoming: IncomingFrames;

  constructor(
    options: CollabOptions,
    private readonly events: CollabEvents,
  ) {
    this.#permission = options.permission;
    this.#epoch = options.epoch;
    this.#device = new DeviceCopy(this.doc, options.userId, options.sessionId);
    this.#incoming = new IncomingFrames({
      doc: this.doc,
      earlier: options.earlier,
      origin: () => this.provider,
      socket: () => this.provider.ws,
      mayAnswer: (state) => this.#mayAnswer(state),
    });
    const server = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/sessions`;
    this.provider = new WebsocketProvider(server, options.sessionId, this.doc, {
      connect: false,
      // Another tab of the same browser must not take edits that the server refused.
      disableBc: true,
      protocols: ["codecrafter.v1"],
      params: this.#params(),
      WebSocketPolyfill: this.#socketClass(),
    });
    this.awareness = this.provider.awareness;
    // A state's clock starts at 0, which other clients take for known: without a second one they would not see us.
    this.awareness.setLocalStateField("cursor", null);
    this.#keepCursors();
    this.#watchProvider();
    // Registered after the provider's own handler: the frame of this very edit has been sent, or not, by now.
    this.doc.on("update", (_update: Uint8Array, origin: unknown) => {
      if (this.isFromHere(origin)) this.#editMade();
    });
    const { signal } = this.#over;
    const clock = setInterval(() => {
      if (this.provider.wsconnecting && performance.now() - this.#handshakeSince > LONGEST_HANDSHAKE_MS) this.tryAgain();
      this.#report();
    }, 1_000);
    signal.addEventListener("abort", () => clearInterval(clock));
    addEventListener("online", () => this.#closed ?? this.provider.connect(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden && this.#keep(), { signal });
  }

  /** Takes up what an earlier page left on this device, then connects. */
  async connect(): Promise<void> {
    this.#report();
    // A reader's changes would be refused: what is on the device is only offered to them.
    if (this.#epoch && this.#permission !== "read") {
      const count = await this.#device.takeUp(this.#epoch);
      if (this.#over.signal.aborted) return;
      if (count !== null) {
        this.#unsaved.takeUp(count);
        this.#load();
      }
    }
    this.provider.connect();
    this.#report();
  }

  /** Connects at once, in the place of a connection that is being made. */
  tryAgain(): void {
    if (this.#closed !== null) return;
    this.provider.disconnect();
    this.provider.connect();
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Whether a change with this origin was made here, in this page or in an earlier one. */
  isFromHere(origin: unknown): boolean {
    return origin !== this.provider;
  }

  /** Keeps what others write out of the document while something is composed; not for long. */
  hold(isHeld: boolean): void {
    this.#incoming.hold(isHeld);
  }

  /** Whether closing the page now would lose something that was typed. */
  get isAtRisk(): boolean {
    return this.#unsaved.count > 0 && !this.#isOnDevice;
  }

  /** Resolves with true once every edit is committed, with false when that takes longer. */
  async settled(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!this.isSaved && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return this.isSaved;
  }

  destroy(): void {
    this.#over.abort();
    this.#device.close();
    this.provider.destroy();
    this.doc.destroy();
  }

  get isSaved(): boolean {
    return this.#unsaved.isSaved;
  }

  get #isOnDevice(): boolean {
    return this.#device.noted >= this.#unsaved.made;
  }

  #socketClass(): typeof WebSocket {
    const inUse = (socket: WebSocket): boolean => {
      if (this.provider.ws !== socket) return false;
      this.provider.wsLastMessageReceived = Date.now();
      return true;
    };
    return socketClass({
      opening: () => (this.#handshakeSince = performance.now()),
      text: (socket, data) => inUse(socket) && this.#received(data),
      binary: (socket, data) => this.#incoming.lets(socket, data) || (inUse(socket) && false),
      frameBytes: () => this.#frameBytes,
      sent: (frame, kind) => this.#unsaved.sent(frame, kind),
    });
  }

  /** An answer of several frames is sent only if everything fits: the server takes or refuses each frame by itself, and
   * would keep the first if the text were too long only with the last. It has sent its own text before it asks. */
  #mayAnswer(state: Uint8Array): boolean {
    if (this.#unsaved.count === 0 || Y.encodeStateAsUpdate(this.doc, state).length <= this.#frameBytes) return true;
    const bytes = longestBytes(this.doc);
    if (bytes <= this.textBytes) return true;
    void this.#end("too_large", tooLongWords(this.textBytes, bytes));
    return false;
  }

  #params(): Record<string, string> {
    return { renewals: "off", ...(this.#epoch ? { epoch: this.#epoch } : {}) };
  }

  /** The server says who left, so no cursor times out here, none is renewed, and none is sent back that came from it. */
  #keepCursors(): void {
    const { awareness, provider } = this;
    clearInterval(awareness._checkInterval);
    const send = provider._awarenessUpdateHandler;
    awareness.off("update", send);
    awareness.on("update", (changes: Parameters<typeof send>[0], origin: unknown) => {
      if (origin === "local") send(changes, origin);
    });
  }

  #watchProvider(): void {
    const { provider } = this;
    provider.on("status", ({ status }: { status: string }) => {
      this.#socketOpen = status === "connected";
      if (this.#socketOpen) this.#unsaved.connected();
      this.#report();
    });
    provider.on("connection-close", (event: CloseEvent | null) => {
      this.#socketOpen = false;
      this.#unsaved.disconnected();
      this.#offlineSince ??= new Date();
      if (event?.code === RESTARTING) this.#isRestarting = true;
      this.#keep();
      // y-websocket waits without jitter; its upper bound is read right after this event.
      const base = Math.min(200 * 2 ** provider.wsUnsuccessfulReconnects, LONGEST_BACKOFF_MS);
      provider.maxBackoffTime = base * (0.5 + Math.random() / 2);
      this.#report();
    });
    provider.on("closed", ({ code }: { code: number; reason: string }) => {
      if (code === OTHER_EPOCH) void this.#end("epoch");
      // A frame was too large: its edit would be sent, and refused, again with every connection.
      else if (code === TOO_LARGE) void this.#end("too_large");
      else this.#close(code);
    });
    provider.on("sync", (synced: boolean) => {
      if (!synced) return;
      if (this.#wasSynced && this.#offlineSince) this.events.reconnected();
      this.#wasSynced = true;
      this.#load();
      this.#offlineSince = null;
      this.#isRestarting = false;
      this.#report();
    });
  }

  #load(): void {
    if (this.#wasLoaded) return;
    this.#wasLoaded = true;
    this.events.loaded();
  }

  #editMade(): void {
    this.#unsaved.add();
    if (this.#device.isStarted) this.#note();
    else if (!this.#socketOpen) this.#keep();
    else setTimeout(() => this.#keep(), KEEP_AFTER_MS);
    this.#report();
  }

  /** Puts what waits on the device, if anything does. */
  #keep(): void {
    if (this.#unsaved.count === 0 || !this.#epoch || this.#over.signal.aborted) return;
    void this.#device.start(this.#epoch);
    this.#note();
  }

  #note(): void {
    void this.#device.note(this.#unsaved.count, this.#unsaved.made).then(() => this.#report());
  }

  #release(): void {
    if (!this.#device.isStarted || !this.isSaved) return;
    const { made } = this.#unsaved;
    const isSaved = (): boolean => made === this.#unsaved.made && this.isSaved;
    setTimeout(async () => {
      // Anything that makes this false brings a later acknowledgement, which releases again.
      if (isSaved() && !(await this.#device.release(isSaved))) this.#release();
    }, RELEASE_AFTER_MS);
  }

  #received(data: string): void {
    const message = JSON.parse(data) as ServerMessage;
    switch (message.type) {
      case "hello":
        if (this.#epoch !== null && this.#epoch !== message.epoch) {
          // Merging two histories would double the text. Leave before step 1 is answered.
          void this.#end("epoch");
          break;
        }
        this.#epoch = message.epoch;
        this.provider.params = this.#params();
        this.#frameBytes = Math.min(message.limits?.frame_bytes ?? FIRST_FRAME_BYTES, FRAME_BYTES);
        this.textBytes = message.limits?.text_bytes ?? Infinity;
        this.events.hello(message);
        this.#setPermission(message.permission);
        break;
      case "ack":
        this.#acknowledged(message.received);
        break;
      case "refused":
        // Later edits build on the refused one, so the server could never take them either.
        void this.#end(message.code, message.detail);
        break;
      case "access":
        this.#setPermission(message.permission);
        break;
      default:
        this.events.message(message);
    }
  }

  #setPermission(permission: Permission): void {
    this.#permission = permission;
    this.events.permission(permission);
    this.#report();
  }

  #acknowledged(received: number): void {
    this.#unsaved.acknowledged(received);
    if (this.isSaved) this.#savedAt = new Date(serverNow());
    if (this.#device.isStarted) this.#note();
    this.#release();
    this.#report();
  }

  #close(code: number): void {
    this.#closed = code;
    this.provider.disconnect();
    // Signing in again merges what waits; a person who has lost access must not keep the text.
    if (NO_ACCESS.has(code)) void this.#device.forget();
    else this.#keep();
    this.#report();
  }

  async #end(reason: Ending["reason"], detail = ""): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.provider.disconnect();
    const count = this.#unsaved.count;
    const kept = await this.#device.setApart(count, reason, this.#epoch ?? "");
    const text = wholeText(this.doc);
    const earlier = reason === "epoch" ? null : Y.encodeStateAsUpdate(this.doc);
    this.destroy();
    this.events.ended({ reason, detail, text, count, kept, earlier });
  }

  #state(): SaveState {
    const waiting = { count: this.#unsaved.count, isOnDevice: this.#isOnDevice || !this.#device.isFailing };
    if (this.#closed !== null) return { kind: "closed", code: this.#closed, ...waiting };
    if (!this.#wasSynced) return { kind: "connecting", ...waiting };
    if (!this.#socketOpen || !this.provider.synced) {
      return { kind: "offline", since: this.#offlineSince ?? new Date(), isRestarting: this.#isRestarting, ...waiting };
    }
    if (this.#permission === "read" && waiting.count === 0) return { kind: "readonly" };
    if (this.isSaved) return { kind: "saved", at: this.#savedAt };
    return { kind: Date.now() - this.#unsaved.since > SLOW_ACK_MS ? "unsaved" : "saving", ...waiting };
  }

  #report(): void {
    if (this.#over.signal.aborted) return;
    const state = this.#state();
    // While offline the words count the seconds, so every tick is news.
    const shown = state.kind === "offline" ? `${Date.now()}` : JSON.stringify(state);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.events.state(state);
  }
}
