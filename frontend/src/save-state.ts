// Whether everything is saved, in words: in the status line, and in a notice while the server is away for long.
import { announce, endNotice, notice, type NoticeAction, noticeOf } from "./notices";
import { byId, clockTime, plural } from "./page";

/** How much is not acknowledged, and whether the browser keeps it on this device. */
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

const LONG_BREAK_MS = 30_000;

export interface SaveStateOptions {
  /** Words about text in this page that is in no file of the session, or null. */
  notInAFile(): string | null;
  /** What to say until the first connection is made. */
  connectingWords(): string;
  /** Hands out everything that is in this page. */
  download: NoticeAction;
  /** Called after each change, once it is shown. */
  changed(state: SaveState): void;
}

export class SaveStateLine {
  readonly #line = byId("state");
  readonly #words = byId("state-words");
  #state: SaveState = { kind: "connecting", count: 0, isOnDevice: false };
  #wasOffline = false;

  constructor(private readonly options: SaveStateOptions) {}

  get state(): SaveState {
    return this.#state;
  }

  /** Whether what happens in the room reaches this page by itself. */
  get isLive(): boolean {
    return !["connecting", "offline", "closed"].includes(this.#state.kind);
  }

  show(state: SaveState): void {
    this.#state = state;
    const { tone, words } = this.#toneAndWords(state);
    this.#line.dataset.tone = tone;
    this.#line.dataset.state = state.kind;
    this.#words.textContent = words;
    this.#line.title = state.kind === "saved" ? `Saved on the server at ${clockTime(state.at)}` : "";
    if (state.kind === "offline") this.#showBreak(state);
    else if (this.#wasOffline && (state.kind === "saved" || state.kind === "readonly")) {
      this.#wasOffline = false;
      endNotice("offline");
      announce(`Reconnected. ${this.options.notInAFile() ?? "All changes are saved"}.`);
    }
    this.options.changed(state);
  }

  /** Shows the same state once more, after something else that the words depend on has changed. */
  refresh(): void {
    this.show(this.#state);
  }

  /** Draws the eye to the words, and says them. */
  flash(): void {
    this.#line.classList.remove("flash");
    void this.#line.offsetWidth;
    this.#line.classList.add("flash");
    announce(this.#words.textContent ?? "");
  }

  #toneAndWords(state: SaveState): { tone: string; words: string } {
    const lost = this.options.notInAFile();
    const everything = lost ?? "Everything is saved";
    switch (state.kind) {
      case "connecting":
        return { tone: "waiting", words: `${this.options.connectingWords()}${state.count > 0 ? `. ${notSaved(state)}` : ""}` };
      case "saved":
        return lost ? { tone: "waiting", words: lost } : { tone: "good", words: "Saved" };
      case "saving":
        return lost ? { tone: "waiting", words: lost } : { tone: "good", words: "Saving" };
      case "unsaved":
        return { tone: "waiting", words: notSaved(state) };
      case "offline": {
        const seconds = Math.round((Date.now() - state.since.getTime()) / 1000);
        const what = navigator.onLine ? `${state.isRestarting ? "Server restarting" : "Reconnecting"} (${seconds} s)` : "Offline";
        return { tone: "waiting", words: `${what}. ${state.count > 0 ? notSaved(state) : everything}` };
      }
      case "readonly":
        return { tone: "good", words: "Read only" };
      case "closed":
        return { tone: "bad", words: `Closed. ${state.count > 0 ? notSaved(state) : everything}` };
    }
  }

  #showBreak(state: SaveState & { kind: "offline" }): void {
    if (!this.#wasOffline) {
      const what = state.isRestarting ? "The server is restarting." : "Connection lost.";
      announce(`${what} You can keep working; this page reconnects by itself.`);
    }
    this.#wasOffline = true;
    if (Date.now() - state.since.getTime() < LONG_BREAK_MS || noticeOf("offline")) return;
    const next = state.isOnDevice
      ? "What you type is kept on this device and sent as soon as the server is back, even if you close this page and open it later."
      : "This browser cannot keep a copy of what you type. Keep this page open: it sends your changes as soon as the server is back.";
    notice("offline", `The server has not answered for 30 seconds. ${next}`, [this.options.download]);
  }
}

const notSaved = ({ count, isOnDevice }: { count: number; isOnDevice: boolean }): string =>
  `Not saved: ${plural(count, "change")} ${isOnDevice ? "on this device" : "in this page only"}`;
