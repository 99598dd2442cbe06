// What somebody began to write in the chat and has not sent: kept on this device for them and that session alone, until
// it is sent or they log out.
import { LOGGED_OUT_CHANNEL } from "./copies";

const PREFIX = "draft:";

export class Draft {
  readonly #key: string;
  #isOver = false;

  constructor(userId: string, sessionId: string) {
    this.#key = `${PREFIX}${userId}:${sessionId}`;
    // Logged out in another tab: what is typed here from then on stays nowhere.
    new BroadcastChannel(LOGGED_OUT_CHANNEL).addEventListener("message", ({ data }) => {
      if (data === userId) this.#isOver = true;
    });
  }

  get text(): string {
    try {
      return localStorage.getItem(this.#key) ?? "";
    } catch {
      return "";
    }
  }

  set text(text: string) {
    if (this.#isOver) return;
    try {
      if (text) localStorage.setItem(this.#key, text);
      else localStorage.removeItem(this.#key);
    } catch {
      // A browser that keeps nothing keeps no draft either.
    }
  }

  /** For somebody who may not be here any more. */
  forget(): void {
    this.text = "";
    this.#isOver = true;
  }
}

/** Removes what this person began to write, in one session or in all. */
export function forgetDrafts(userId: string, sessionId = ""): void {
  try {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith(`${PREFIX}${userId}:${sessionId}`)) localStorage.removeItem(key);
    }
  } catch {
    // Nothing is kept, so nothing is left.
  }
}
