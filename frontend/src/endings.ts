// What becomes of a text when its connection is closed for good, or when it cannot be merged any more: the person is
// told what was kept and offered what was not.
import { type CopyName, remove } from "./copies";
import { leftovers } from "./device";
import type { GoneFiles } from "./gone";
import { announce, downloadAction, endNotice, notice, type NoticeAction } from "./notices";
import { canEdit, type Page, plural } from "./page";
import type { RefusedCode } from "./received";
import type { SaveState } from "./save-state";

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

/** After more refusals than this within a minute, the page stops. */
const MOST_ENDINGS = 3;
const ENDINGS_MS = 60_000;
const SIGNED_OUT = 4401;
const NO_ACCESS = [4403, 4404];

/** Whether the person may not have the text any more. */
export const hasLostAccess = (code: number): boolean => NO_ACCESS.includes(code);
/** Whether the person may still read what they could read before. */
export const mayStillRead = (code: number): boolean => code !== SIGNED_OUT && !hasLostAccess(code);

const CLOSED_WORDS: Record<number, string> = {
  4400: "The server could not read what this page sent, and closed the connection.",
  4401: "You are signed out.",
  4403: "You no longer have access to this session.",
  4404: "This session is no longer available: it was archived, or is no longer shared with you.",
  4429: "This session is open in too many places, yours or everybody's together. Close it elsewhere, then reload.",
};

const ENDED_WORDS: Record<Ending["reason"], string> = {
  read_only: "You can now only read this session.",
  too_large: "Your last change is larger than this server accepts.",
  invalid: "The server could not read your last change.",
  epoch: "This session was restored to another version.",
};

const reload: NoticeAction = { words: "Reload", icon: "rotate-cw", act: () => location.reload() };
const signIn: NoticeAction = {
  words: "Sign in again",
  icon: "arrow-right",
  act: () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`),
};

export interface EndingsOptions {
  page: Page;
  gone: GoneFiles;
  notInAFile(): string | null;
  fileName(): string;
  /** Everything that is in this page. */
  text(): string;
  /** Nothing more can be sent from here. */
  stop(): void;
  /** Opens the server's text in the place of the one that has ended. */
  reopen(earlier: Uint8Array | null): void;
}

export class Endings {
  #moments: number[] = [];
  /** Whether the text of a closed connection was downloaded. */
  hasCopy = false;
  /** Offered texts that are nowhere but in this page. */
  readonly #unkept = new Set<string>();

  constructor(private readonly options: EndingsOptions) {}

  /** Whether closing the page now would lose a text that is offered. */
  get isAtRisk(): boolean {
    return this.#unkept.size > 0;
  }

  /** The connection is closed and will not be made again. */
  closed(state: SaveState & { kind: "closed" }): void {
    const isGone = hasLostAccess(state.code);
    this.options.stop();
    const next = state.code === SIGNED_OUT ? [signIn] : isGone ? [] : [reload];
    const copy = state.count > 0 ? [downloadAction(this.options.text, this.options.fileName, () => (this.hasCopy = true))] : [];
    const words = CLOSED_WORDS[state.code] ?? `The server closed this connection for good (code ${state.code}).`;
    endNotice("offline");
    endNotice("unconnected");
    notice("closed", `${words} ${this.#keptWords(state, isGone)}`, [...next, ...copy]);
  }

  #keptWords({ count, isOnDevice }: SaveState & { kind: "closed" }, isGone: boolean): string {
    if (count === 0) return `${this.options.notInAFile() ?? "Everything you wrote is saved"}.`;
    const changes = plural(count, "change");
    if (isGone) return `${changes} did not reach the server. Download your copy if you want to keep it: nothing stays on this device.`;
    if (isOnDevice) return `${changes} did not reach the server. They are kept on this device and sent when you come back.`;
    return `${changes} did not reach the server and are in this page only. Download your copy first.`;
  }

  /** The text cannot be merged any more: offers it, and goes on with the server's. */
  ended({ reason, detail, text, count, kept, earlier }: Ending): void {
    // Of what is too large, the server says how much it takes.
    const why = reason === "too_large" && detail ? detail : ENDED_WORDS[reason];
    const lost = count > 0 ? `${plural(count, "change")} of yours ${count === 1 ? "was" : "were"} not saved. ` : "";
    if (count > 0 || reason === "epoch") {
      this.#offer(reason, `${why} ${lost}The page shows the text as it is on the server.`, text, kept);
    }
    announce(why);
    const now = Date.now();
    this.#moments = [...this.#moments.filter((moment) => now - moment < ENDINGS_MS), now];
    if (this.#moments.length > MOST_ENDINGS) {
      this.options.stop();
      notice("closed", "The server keeps refusing what this page sends. You can download your copy above. Reload to continue.", [reload]);
      return;
    }
    this.options.reopen(earlier);
  }

  /** Offers what an earlier page left on this device and could not be sent. */
  async offerLeftovers(): Promise<void> {
    const { page, gone } = this.options;
    const epoch = canEdit(page.session.permission) ? page.document.epoch : null;
    for (const { name, path, text, count, reason } of await leftovers(page.user.id, page.session.id, epoch)) {
      if (reason === "deleted") {
        gone.add({ id: name.name, path, text, hasRest: true }, name);
        continue;
      }
      const why = name.part === page.document.epoch ? ENDED_WORDS.read_only : ENDED_WORDS[reason as Ending["reason"]] ?? ENDED_WORDS.epoch;
      this.#offer(reason, `${why} ${plural(count, "earlier change")} of yours could not be saved. That text is on this device only.`, text, name);
    }
  }

  #offer(reason: string, words: string, text: string, kept: CopyName | null): void {
    const key = `copy-${kept?.name ?? reason}`;
    if (!kept && text) this.#unkept.add(key);
    const discard: NoticeAction = {
      words: "Discard",
      icon: "x",
      act: () => {
        this.#unkept.delete(key);
        if (kept) void remove([kept]);
        endNotice(key);
      },
    };
    notice(key, words, [downloadAction(() => text, this.options.fileName, () => this.#unkept.delete(key)), discard]);
  }
}
