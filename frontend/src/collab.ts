// The protocol client of the live document: no UI. It joins y-websocket to the server's acknowledgements, so that
// "saved" means committed on the server, and to the copy on this device of what is not. main.ts turns what it reports
// into words. One Collab is one history of the document: when its text cannot be joined to the server's, it ends.
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { serverNow } from "./clock";
import { loadWith } from "./carried";
import type { CopyName } from "./copies";
import { DeviceCopy } from "./device";
import type { AnyNotice, Hello, PageMessage, Refused } from "./messages";
import type { Permission, Person } from "./page";
import { splitFrame, STEP_2, SYNC, UPDATE, updateIn } from "./split";
import { wholeText } from "./texts";

/** What is not acknowledged, and whether the browser keeps that on this device. */
interface Waiting {
  count: number;
  isOnDevice: boolean;
}

export type SaveState =
  | ({ kind: "connecting" } & Waiting)
  | { kind: "saved"; at: Date }
  | ({ kind: "saving" } & Waiting)
  | ({ kind: "unsaved" } & Waiting)
  | ({ kind: "offline"; since: Date; isRestarting: boolean } & Waiting)
  | { kind: "readonly" }
  | ({ kind: "closed"; code: number } & Waiting);

export interface ChatMessage {
  id: string;
  /** Null when the account is gone. */
  user: (Person & { hue?: number }) | null;
  text: string;
  created_at: string;
  ref?: string | null;
}

type Members<Message> = Message extends unknown ? keyof Message : never;
type Member<Message, Name> = Message extends unknown ? (Name extends keyof Message ? Message[Name] : never) : never;

/** Any notice: what is not in every kind of them may be absent. */
export type Notice = Pick<AnyNotice, keyof AnyNotice> & {
  [Name in Exclude<Members<AnyNotice>, keyof AnyNotice>]?: Member<AnyNotice, Name>;
};

export type ServerMessage = Exclude<PageMessage, AnyNotice> | Notice;

type RefusedCode = Refused["code"];

/** Why this history of the document is over for this page, and what the person had on the screen. */
export interface Ending {
  reason: RefusedCode | "epoch";
  /** What the server said, if it did. */
  detail: string;
  /** The document, for the next Collab to load what was deleted in it; null of another history. */
  earlier: Uint8Array | null;
  text: string;
  /** Changes that no server has. */
  count: number;
  /** Where the text was set apart on this device, for leftovers() to find; null when it is nowhere but here. */
  kept: CopyName | null;
}

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
/** Whoever gets one of these may not have the text any more. */
const NO_ACCESS = new Set([4403, 4404]);

/** An edit that keeps waiting this long is called "not saved" instead of "saving". */
const SLOW_ACK_MS = 3_000;
/** An edit that waits this long is kept on the device, too. */
const KEEP_AFTER_MS = 300;
/** The copy on the device goes once nothing has waited for so long. */
const RELEASE_AFTER_MS = 1_500;
const LONGEST_BACKOFF_MS = 8_000;
/** Some networks answer a WebSocket's handshake never. */
const LONGEST_HANDSHAKE_MS = 15_000;
/** What others write is held back no longer than this. */
const LONGEST_HOLD_MS = 10_000;
/** The frame number of an edit that was not sent on the present connection. */
const UNSENT = Number.POSITIVE_INFINITY;

/** Frames with edits are no longer than this, so that the server takes others' in between; nor than it allows. */
const FRAME_BYTES = 256 * 1024;
/** Until the server has said what it allows. */
const FIRST_FRAME_BYTES = 64 * 1024;

interface PendingEdit {
  frame: number;
  since: number;
}

export interface CollabOptions {
  sessionId: string;
  userId: string;
  permission: Permission;
  /** Of the history that the page knows, or null: the server will say. */
  epoch: string | null;
  /** Of an earlier Collab that ended: its document, some of which the server refused. */
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
  #pending: PendingEdit[] = [];
  #edits = 0;
  #updateFrame = 0;
  #step2Frame = 0;
  /** Whether the server has committed everything that this page held when the connection was made. */
  #isConfirmed = false;
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
  /** Ends the holding back of what others write; null while it is let in. */
  #holding: ReturnType<typeof setTimeout> | null = null;
  #earlier: Uint8Array | null;
  #frameBytes = FIRST_FRAME_BYTES;
  #held: { socket: WebSocket; data: unknown }[] = [];

  constructor(
    options: CollabOptions,
    private readonly events: CollabEvents,
  ) {
    this.#permission = options.permission;
    this.#epoch = options.epoch;
    this.#earlier = options.earlier;
    this.#device = new DeviceCopy(this.doc, options.userId, options.sessionId);
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
        while (this.#pending.length < count) this.#pending.push({ frame: UNSENT, since: Date.now() });
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

  /** Keeps what the server sends of the text, and of others' carets in it, out of the document; not for long. */
  hold(isHeld: boolean): void {
    if (isHeld && this.#holding === null) {
      this.#holding = setTimeout(() => this.hold(false), LONGEST_HOLD_MS);
    } else if (!isHeld && this.#holding !== null) {
      clearTimeout(this.#holding);
      this.#holding = null;
      for (const { socket, data } of this.#held.splice(0)) {
        if (this.provider.ws === socket) socket.dispatchEvent(new MessageEvent("message", { data }));
      }
    }
  }

  /** Whether closing the page now would lose something that was typed. */
  get isAtRisk(): boolean {
    return this.#pending.length > 0 && !this.#isOnDevice;
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
    return this.#pending.length === 0 && this.#isConfirmed;
  }

  get #isOnDevice(): boolean {
    return this.#device.noted >= this.#edits;
  }

  /** A WebSocket that keeps text frames away from y-websocket, which throws on them, holds back others' edits when it
   * has to, and counts what carries edits. */
  #socketClass(): typeof WebSocket {
    const collab = this;
    return class CountingSocket extends WebSocket {
      #frames = 0;

      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        collab.#handshakeSince = performance.now();
        // Added before y-websocket sets onmessage, so this listener runs first.
        this.addEventListener("message", (event: MessageEvent) => {
          const isText = typeof event.data === "string";
          if (!isText && collab.provider.ws === this) collab.#loadEarlier(new Uint8Array(event.data as ArrayBuffer));
          if (!isText && collab.#holding === null) return;
          event.stopImmediatePropagation();
          if (collab.provider.ws !== this) return;
          collab.provider.wsLastMessageReceived = Date.now();
          if (isText) collab.#received(event.data);
          else collab.#held.push({ socket: this, data: event.data });
        });
      }

      override send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
        if (!(data instanceof Uint8Array && data[0] === SYNC && (data[1] === STEP_2 || data[1] === UPDATE))) {
          super.send(data as ArrayBufferView<ArrayBuffer>);
          return;
        }
        const frames = splitFrame(data, collab.#frameBytes);
        this.#frames += frames.length;
        collab.#sent(this.#frames, data[1]);
        for (const frame of frames) super.send(frame as Uint8Array<ArrayBuffer>);
      }
    };
  }

  /** Loads the first answer of the server together with what the earlier document has of it. */
  #loadEarlier(frame: Uint8Array): void {
    if (!this.#earlier || frame[0] !== SYNC || frame[1] !== STEP_2) return;
    loadWith(this.doc, this.#earlier, updateIn(frame), this.provider);
    this.#earlier = null;
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
      if (this.#socketOpen) {
        this.#step2Frame = 0;
        this.#isConfirmed = false;
      }
      this.#report();
    });
    provider.on("connection-close", (event: CloseEvent | null) => {
      this.#socketOpen = false;
      this.#isConfirmed = false;
      this.#offlineSince ??= new Date();
      if (event?.code === RESTARTING) this.#isRestarting = true;
      for (const edit of this.#pending) edit.frame = UNSENT;
      if (this.#pending.length > 0) this.#keep();
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

  #sent(frame: number, kind: number): void {
    if (kind === UPDATE) {
      this.#updateFrame = frame;
      return;
    }
    // Step 2 holds everything the server lacked, so it answers for all edits up to now.
    this.#step2Frame = frame;
    for (const edit of this.#pending) edit.frame = frame;
  }

  #editMade(): void {
    const frame = this.#step2Frame > 0 && this.#updateFrame > 0 ? this.#updateFrame : UNSENT;
    this.#updateFrame = 0;
    this.#edits += 1;
    this.#pending.push({ frame, since: Date.now() });
    if (this.#device.isStarted) this.#note();
    else if (!this.#socketOpen) this.#keep();
    else setTimeout(() => this.#keep(), KEEP_AFTER_MS);
    this.#report();
  }

  /** Puts what waits on the device, if anything does. */
  #keep(): void {
    if (this.#pending.length === 0 || !this.#epoch || this.#over.signal.aborted) return;
    void this.#device.start(this.#epoch);
    this.#note();
  }

  #note(): void {
    void this.#device.note(this.#pending.length, this.#edits).then(() => this.#report());
  }

  #release(): void {
    if (!this.#device.isStarted || !this.isSaved) return;
    const edits = this.#edits;
    const isSaved = (): boolean => edits === this.#edits && this.isSaved;
    setTimeout(async () => {
      // Whatever makes this false brings an acknowledgement later, and that begins anew.
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
    this.#pending = this.#pending.filter((edit) => edit.frame > received);
    if (this.#step2Frame > 0 && received >= this.#step2Frame) this.#isConfirmed = true;
    if (this.isSaved) this.#savedAt = new Date(serverNow());
    if (this.#device.isStarted) this.#note();
    this.#release();
    this.#report();
  }

  #close(code: number): void {
    this.#closed = code;
    this.provider.disconnect();
    // Signing in again merges what waits; who has lost access must not keep the text.
    if (NO_ACCESS.has(code)) void this.#device.forget();
    else this.#keep();
    this.#report();
  }

  async #end(reason: Ending["reason"], detail = ""): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.provider.disconnect();
    const count = this.#pending.length;
    const kept = await this.#device.setApart(count, reason, this.#epoch ?? "");
    const text = wholeText(this.doc);
    const earlier = reason === "epoch" ? null : Y.encodeStateAsUpdate(this.doc);
    this.destroy();
    this.events.ended({ reason, detail, text, count, kept, earlier });
  }

  #state(): SaveState {
    const waiting = { count: this.#pending.length, isOnDevice: this.#isOnDevice || !this.#device.isFailing };
    if (this.#closed !== null) return { kind: "closed", code: this.#closed, ...waiting };
    if (!this.#wasSynced) return { kind: "connecting", ...waiting };
    if (!this.#socketOpen || !this.provider.synced) {
      return { kind: "offline", since: this.#offlineSince ?? new Date(), isRestarting: this.#isRestarting, ...waiting };
    }
    if (this.#permission === "read" && waiting.count === 0) return { kind: "readonly" };
    if (this.isSaved) return { kind: "saved", at: this.#savedAt };
    const oldest = this.#pending[0]?.since ?? Date.now();
    return { kind: Date.now() - oldest > SLOW_ACK_MS ? "unsaved" : "saving", ...waiting };
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
