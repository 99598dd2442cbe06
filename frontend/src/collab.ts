// The protocol client of the live document: no UI. It joins y-websocket to the server's acknowledgements, so that
// "saved" means committed on the server. main.ts turns what it reports into words.
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import type { Permission, Person } from "./page";

export type SaveState =
  | { kind: "connecting" }
  | { kind: "saved"; at: Date }
  | { kind: "saving"; count: number }
  | { kind: "unsaved"; count: number }
  | { kind: "offline"; count: number; since: Date }
  | { kind: "readonly" }
  | { kind: "closed"; code: number; count: number; words: string };

export interface PresentPerson extends Person {
  permission: Permission;
}

export type ServerMessage =
  | { type: "hello"; connection_id: string; user: Person; permission: Permission; epoch: number | string; head: number }
  | { type: "ack"; received: number; seq: number }
  | { type: "refused"; received: number; code: string; detail: string }
  | { type: "presence"; people: PresentPerson[] }
  | { type: "access"; permission: Permission }
  | { type: "session.changed"; title: string; language: string; is_public: boolean; version: number }
  | { type: "run.state"; run: unknown }
  | { type: "run.output"; job_id: string; stream: string; offset: number; data_base64: string }
  | { type: "run.input"; job_id: string; user: Person; text: string }
  | { type: "error"; code: string; detail: string };

export interface CollabEvents {
  state(state: SaveState): void;
  /** Everything but hello, ack and refused, which are dealt with here. */
  message(message: ServerMessage): void;
  permission(permission: Permission): void;
  /** The first full copy of the text is here: `doc` may be shown. */
  loaded(): void;
  /** The socket is open again after a break: whatever was announced meanwhile was missed. */
  reconnected(): void;
}

const CLOSED_WORDS: Record<number, string> = {
  4400: "The server could not read what this page sent.",
  4401: "You are signed out.",
  4403: "You no longer have access to this session.",
  4404: "This session does not exist any more.",
  4409: "This session was put back to another version.",
  4413: "This session's text is larger than the server takes.",
};

const REFUSED_WORDS: Record<string, string> = {
  read_only: "You may read this session, not edit it.",
  too_large: "Your last change is larger than the server takes.",
  invalid: "The server could not read your last change.",
};

/** An edit that keeps waiting this long is called "not saved" instead of "saving". */
const SLOW_ACK_MS = 3_000;
const LONGEST_BACKOFF_MS = 8_000;
/** The frame number of an edit that was not sent on the present connection. */
const UNSENT = Number.POSITIVE_INFINITY;

const SYNC = 0;
const STEP_2 = 1;
const UPDATE = 2;

interface PendingEdit {
  frame: number;
  since: number;
}

export class Collab {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText("main");
  readonly provider: WebsocketProvider;
  readonly awareness: Awareness;

  #pending: PendingEdit[] = [];
  #updateFrame = 0;
  #step2Sent = false;
  #socketOpen = false;
  #wasLoaded = false;
  #offlineSince: Date | null = null;
  #savedAt = new Date();
  #closed: { code: number; words: string } | null = null;
  #epoch: number | string | null = null;
  #permission: Permission;
  #shown = "";

  constructor(
    sessionId: string,
    permission: Permission,
    private readonly events: CollabEvents,
  ) {
    this.#permission = permission;
    const server = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/sessions`;
    this.provider = new WebsocketProvider(server, sessionId, this.doc, {
      connect: false,
      // Another tab of the same browser must not take edits that the server refused.
      disableBc: true,
      protocols: ["codecrafter.v1"],
      WebSocketPolyfill: this.#socketClass(),
    });
    this.awareness = this.provider.awareness;
    // A state's clock starts at 0, which other clients take for known: without a second one they would not see us.
    this.awareness.setLocalStateField("cursor", null);
    this.#watchProvider();
    // Registered after the provider's own handler: the frame of this very edit has been sent, or not, by now.
    this.doc.on("update", (_update: Uint8Array, origin: unknown) => {
      if (origin !== this.provider) this.#editMade();
    });
    setInterval(() => this.#report(), 1_000);
    addEventListener("beforeunload", (event) => {
      if (this.#pending.length > 0) event.preventDefault();
    });
    addEventListener("online", () => this.#closed ?? this.provider.connect());
  }

  connect(): void {
    this.provider.connect();
    this.#report();
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Resolves with true once every edit is committed, with false when that takes longer. */
  async settled(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (this.#pending.length > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return this.#pending.length === 0;
  }

  /** A WebSocket that keeps text frames away from y-websocket, which throws on them, and counts what carries edits. */
  #socketClass(): typeof WebSocket {
    const collab = this;
    return class CountingSocket extends WebSocket {
      #frames = 0;

      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        // Added before y-websocket sets onmessage, so this listener runs first.
        this.addEventListener("message", (event: MessageEvent) => {
          if (typeof event.data !== "string") return;
          event.stopImmediatePropagation();
          if (collab.provider.ws === this) collab.#received(event.data);
        });
      }

      override send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
        if (data instanceof Uint8Array && data[0] === SYNC && (data[1] === STEP_2 || data[1] === UPDATE)) {
          this.#frames += 1;
          collab.#sent(this.#frames, data[1]);
        }
        super.send(data as ArrayBufferView<ArrayBuffer>);
      }
    };
  }

  #watchProvider(): void {
    const { provider } = this;
    provider.on("status", ({ status }: { status: string }) => {
      this.#socketOpen = status === "connected";
      if (this.#socketOpen) {
        this.#step2Sent = false;
      }
      this.#report();
    });
    provider.on("connection-close", () => {
      this.#socketOpen = false;
      this.#offlineSince ??= new Date();
      for (const edit of this.#pending) edit.frame = UNSENT;
      // y-websocket waits without jitter; its upper bound is read right after this event.
      const base = Math.min(200 * 2 ** provider.wsUnsuccessfulReconnects, LONGEST_BACKOFF_MS);
      provider.maxBackoffTime = base * (0.5 + Math.random() / 2);
      this.#report();
    });
    provider.on("closed", ({ code }: { code: number; reason: string }) => {
      this.#close(code, CLOSED_WORDS[code] ?? "The server ended this connection for good.");
    });
    provider.on("sync", (synced: boolean) => {
      if (!synced) return;
      if (!this.#wasLoaded) {
        this.#wasLoaded = true;
        this.events.loaded();
      } else if (this.#offlineSince) {
        this.events.reconnected();
      }
      this.#offlineSince = null;
      this.#report();
    });
  }

  #sent(frame: number, kind: number): void {
    if (kind === UPDATE) {
      this.#updateFrame = frame;
      return;
    }
    // Step 2 holds everything the server lacked, so it answers for all edits up to now.
    this.#step2Sent = true;
    for (const edit of this.#pending) edit.frame = frame;
  }

  #editMade(): void {
    const frame = this.#step2Sent && this.#updateFrame > 0 ? this.#updateFrame : UNSENT;
    this.#updateFrame = 0;
    this.#pending.push({ frame, since: Date.now() });
    this.#report();
  }

  #received(data: string): void {
    this.provider.wsLastMessageReceived = Date.now();
    const message = JSON.parse(data) as ServerMessage;
    switch (message.type) {
      case "hello":
        if (this.#epoch !== null && this.#epoch !== message.epoch) {
          // Merging two histories would double the text. Leave before step 1 is answered.
          this.#close(4409, CLOSED_WORDS[4409] ?? "");
          break;
        }
        this.#epoch = message.epoch;
        this.#setPermission(message.permission);
        break;
      case "ack":
        this.#acknowledged(message.received);
        break;
      case "refused":
        // Later edits build on the refused one, so the server could never take them either.
        this.#close(0, REFUSED_WORDS[message.code] ?? message.detail);
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
    if (this.#pending.length === 0) this.#savedAt = new Date();
    this.#report();
  }

  #close(code: number, words: string): void {
    this.#closed = { code, words };
    this.provider.disconnect();
    this.#report();
  }

  #state(): SaveState {
    const count = this.#pending.length;
    if (this.#closed) return { kind: "closed", ...this.#closed, count };
    if (!this.#wasLoaded) return { kind: "connecting" };
    if (!this.#socketOpen || !this.provider.synced) {
      return { kind: "offline", count, since: this.#offlineSince ?? new Date() };
    }
    if (count > 0) {
      const oldest = this.#pending[0]?.since ?? Date.now();
      return { kind: Date.now() - oldest > SLOW_ACK_MS ? "unsaved" : "saving", count };
    }
    return this.#permission === "read" ? { kind: "readonly" } : { kind: "saved", at: this.#savedAt };
  }

  #report(): void {
    const state = this.#state();
    // While offline the words count the seconds, so every tick is news.
    const shown = state.kind === "offline" ? `${Date.now()}` : JSON.stringify(state);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.events.state(state);
  }
}
