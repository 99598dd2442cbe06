// The chat of the session: what was said, newest at the bottom, older messages on demand, and the field to write in.
// Whatever anybody wrote is set as text, never as markup.
import { call, Problem } from "./api";
import { serverNow } from "./clock";
import { dressHead, showUnread, time, timeWords, withLinks } from "./chat-words";
import { Draft } from "./drafts";
import type { ChatMessage } from "./received";
import { byId, icon, make, type Person, plural } from "./page";

interface Page {
  next: string | null;
  results: ChatMessage[];
}

/** A message of one's own that the server has not confirmed. */
interface Outgoing {
  ref: string;
  text: string;
  element: HTMLElement;
}

export interface ChatOptions {
  sessionId: string;
  me: Person;
  mayWrite: boolean;
  /** The hue of a person in this room. */
  hueOf(id: string): number;
  isShown(): boolean;
  announce(words: string): void;
}

/** More messages than these in this time are announced by their number. */
const MOST_ANNOUNCED = 3;
const ANNOUNCE_MS = 4_000;
const LONGEST_ANNOUNCED = 200;
/** From here on the field says how much still fits. */
const TELL_ROOM_FROM = 0.8;
const DEFAULT_CHARACTERS = 2_000;
/** With more messages the list starts over from the newest; older ones can be read again. */
const MOST_SHOWN = 1_000;

export class Chat {
  readonly #list = byId("chat-list");
  readonly #scroll = byId("chat-scroll");
  readonly #field = byId<HTMLTextAreaElement>("chat-field");
  readonly #older = byId<HTMLButtonElement>("chat-older");
  readonly #news = byId<HTMLButtonElement>("chat-news");
  readonly #path: string;
  readonly #draft: Draft;
  readonly #known = new Set<string>();
  readonly #outgoing = new Map<string, Outgoing>();
  #limit = DEFAULT_CHARACTERS;
  #next: string | null = null;
  #unread = 0;
  /** How many messages came while older ones were being read. */
  #below = 0;
  /** Whether the newest message is looked at, or will be once the pane is open. */
  #isPinned = true;
  #announced: number[] = [];
  #swallowed = 0;

  constructor(private readonly options: ChatOptions) {
    this.#path = `/api/sessions/${options.sessionId}/chat`;
    byId("chat-form").hidden = !options.mayWrite;
    byId("chat-visitor").hidden = options.mayWrite;
    byId<HTMLFormElement>("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("input", () => this.#written());
    this.#draft = new Draft(options.me.id, options.sessionId);
    this.#field.value = options.mayWrite ? this.#draft.text : "";
    this.#news.addEventListener("click", () => {
      this.#toEnd();
      this.#scroll.focus();
    });
    this.#scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#older.addEventListener("click", () => void this.#readOlder());
    setInterval(() => this.#freshen(), 30_000);
    this.#showEmpty();
  }

  set limit(characters: number) {
    this.#limit = characters;
    this.#showRoom();
  }

  /** Reads the newest messages: at the start, and after a break, when some were missed. */
  async load(): Promise<void> {
    const isFirst = this.#known.size === 0;
    const page = await call<Page>("GET", this.#path);
    if (isFirst) this.#setNext(page.next);
    const isMissed = page.results.some((message) => this.#known.has(message.id));
    // After a long break there is a gap: the list starts over from the newest.
    if (!isFirst && !isMissed && page.results.length > 0 && page.next) this.#startOver(page.next);
    for (const message of page.results.toReversed()) this.#add(message, !isFirst);
    if (isFirst) this.#toEnd();
    this.#showEmpty();
  }

  take(message: ChatMessage): void {
    this.#add(message, true);
    if (this.#known.size > MOST_SHOWN && this.#outgoing.size === 0 && this.#isAtEnd()) void this.#shorten().catch(() => undefined);
  }

  /** Keeps nothing on this device of what is being written. */
  forgetDraft(): void {
    this.#draft.forget();
  }

  /** Takes over the hues and names that people have now. */
  peopleChanged(names: ReadonlyMap<string, string>): void {
    for (const item of this.#list.querySelectorAll<HTMLElement>("[data-who]")) {
      this.#colour(item);
      const name = names.get(item.dataset.who ?? "");
      const head = item.querySelector(".chat-head b");
      if (name && head && head.textContent !== name) head.textContent = name;
    }
  }

  /** A moderator took the message out. */
  remove(id: string): void {
    const item = this.#list.querySelector(`[data-id="${CSS.escape(id)}"]`);
    const next = item?.nextElementSibling;
    item?.remove();
    if (next) dressHead(next as HTMLElement);
    this.#showEmpty();
  }

  /** A refused message. Returns whether `ref` is one of this chat. */
  refuse(ref: string | undefined, words: string): boolean {
    const outgoing = ref === undefined ? undefined : this.#outgoing.get(ref);
    if (outgoing) this.#fail(outgoing, words);
    return outgoing !== undefined;
  }

  /** Something about the session itself. It is not kept. */
  tell(words: string): void {
    const stick = this.#isAtEnd();
    this.#list.append(make("li", { class: "chat-notice", dir: "auto" }, `${words} · `, time(new Date(serverNow()).toISOString())));
    if (stick) this.#toEnd();
    this.#showEmpty();
  }

  /** The pane was opened: everything in it is seen. */
  shown(): void {
    if (this.#unread > 0 || this.#isPinned) this.#toEnd();
    this.#setUnread(0);
  }

  focus(): void {
    this.#field.focus();
  }

  async #shorten(): Promise<void> {
    const before = new Set(this.#known);
    const page = await call<Page>("GET", this.#path);
    const meanwhile = [...this.#list.querySelectorAll<HTMLElement>("[data-id]")].filter(({ dataset }) => !before.has(dataset.id ?? ""));
    this.#startOver(page.next);
    for (const message of page.results.toReversed()) this.#add(message, false);
    for (const element of meanwhile) {
      if (this.#known.has(element.dataset.id ?? "")) continue;
      this.#known.add(element.dataset.id ?? "");
      this.#place(element);
    }
    this.#toEnd();
  }

  #startOver(next: string | null): void {
    this.#list.replaceChildren();
    this.#known.clear();
    this.#setNext(next);
  }

  #add(message: ChatMessage, isNews: boolean): void {
    const mine = message.ref ? this.#outgoing.get(message.ref) : undefined;
    if (mine && message.user?.id === this.options.me.id) this.#settle(mine);
    if (this.#known.has(message.id)) return;
    this.#known.add(message.id);
    const stick = this.#isAtEnd();
    this.#place(this.#messageElement(message));
    if (stick || message.user?.id === this.options.me.id) this.#toEnd();
    else if (isNews) this.#setBelow(this.#below + 1);
    this.#showEmpty();
    if (!isNews || message.user?.id === this.options.me.id) return;
    if (!this.options.isShown() || document.hidden) this.#setUnread(this.#unread + 1);
    this.#announce(message);
  }

  /** By time: the server's, so that everybody sees one order. */
  #place(element: HTMLElement): void {
    const at = element.dataset.at ?? "";
    // Most messages are the newest. What is still being sent stays below.
    let before: Element | null = null;
    for (let other = this.#list.lastElementChild; other; other = other.previousElementSibling) {
      const time = (other as HTMLElement).dataset.at;
      if (time === undefined ? !other.classList.contains("chat-message") : time <= at) break;
      before = other;
    }
    this.#list.insertBefore(element, before);
    dressHead(element);
    if (element.nextElementSibling) dressHead(element.nextElementSibling as HTMLElement);
  }

  #messageElement(message: ChatMessage): HTMLElement {
    const name = message.user?.username ?? "Deleted user";
    const item = this.#element(name, message.text, time(message.created_at));
    item.dataset.id = message.id;
    item.dataset.at = message.created_at;
    item.dataset.who = message.user?.id ?? "";
    this.#colour(item);
    if (message.user?.id === this.options.me.id) item.dataset.mine = "yes";
    return item;
  }

  #colour(item: HTMLElement): void {
    const { who = "" } = item.dataset;
    for (const name of [...item.classList]) if (name.startsWith("hue-")) item.classList.remove(name);
    if (who) item.classList.add(`hue-${this.options.hueOf(who)}`);
  }

  #element(name: string, text: string, when: HTMLElement): HTMLElement {
    return make(
      "li",
      { class: "chat-message" },
      make("p", { class: "chat-head" }, make("b", { dir: "auto" }, name), when),
      make("p", { class: "chat-text", dir: "auto" }, ...withLinks(text)),
    );
  }

  #submit(): void {
    const text = this.#field.value.trim();
    if (!text) return;
    if (text.length > this.#limit) {
      this.options.announce(`The message is ${plural(text.length - this.#limit, "character")} too long.`);
      return;
    }
    this.#field.value = "";
    this.#written();
    const element = this.#element(this.options.me.username, text, make("span", { class: "chat-state" }, "Sending"));
    element.dataset.mine = "yes";
    this.#list.append(element);
    // crypto.randomUUID is missing on plain http.
    const ref = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const outgoing = { ref, text, element };
    this.#outgoing.set(outgoing.ref, outgoing);
    this.#toEnd();
    this.#showEmpty();
    void this.#send(outgoing);
  }

  async #send(outgoing: Outgoing): Promise<void> {
    const { ref, text, element } = outgoing;
    delete element.dataset.failed;
    element.querySelector(".chat-failed")?.remove();
    try {
      const message = await call<ChatMessage>("POST", this.#path, { text, ref });
      this.#add({ ...message, ref }, false);
    } catch (failure) {
      if (!this.#outgoing.has(ref)) return;
      const unreachable = failure instanceof Problem && failure.status === 0;
      this.#fail(outgoing, unreachable ? "The server did not answer." : failure instanceof Problem ? failure.message : "It did not work.");
    }
  }

  #settle(outgoing: Outgoing): void {
    this.#outgoing.delete(outgoing.ref);
    outgoing.element.remove();
  }

  #fail(outgoing: Outgoing, words: string): void {
    const { element } = outgoing;
    element.dataset.failed = "yes";
    element.querySelector(".chat-failed")?.remove();
    const again = make("button", { type: "button", class: "button small", click: () => void this.#send(outgoing) }, icon("rotate-cw"), "Send again");
    const discard = make("button", { type: "button", class: "button small quiet", click: () => this.#discard(outgoing) }, "Discard");
    element.append(make("div", { class: "chat-failed" }, make("span", {}, `Not sent. ${words}`), again, discard));
    this.options.announce(`Your message was not sent. ${words}`);
    this.#toEnd();
  }

  #discard(outgoing: Outgoing): void {
    this.#settle(outgoing);
    this.#showEmpty();
    this.#field.focus();
  }

  async #readOlder(): Promise<void> {
    if (!this.#next) return;
    this.#older.disabled = true;
    try {
      // The server's own address of the next page; only its query is taken, so that it stays on this path.
      const page = await call<Page>("GET", `${this.#path}${new URL(this.#next, location.href).search}`);
      const height = this.#scroll.scrollHeight - this.#scroll.scrollTop;
      for (const message of page.results) {
        if (this.#known.has(message.id)) continue;
        this.#known.add(message.id);
        this.#place(this.#messageElement(message));
      }
      this.#setNext(page.next);
      this.#scroll.scrollTop = this.#scroll.scrollHeight - height;
    } catch {
      this.options.announce("The earlier messages could not be read. Try again.");
    } finally {
      this.#older.disabled = false;
    }
  }

  #setNext(next: string | null): void {
    this.#next = next;
    this.#older.hidden = next === null;
  }

  #setUnread(count: number): void {
    this.#unread = count;
    showUnread(count);
  }

  #setBelow(count: number): void {
    this.#below = count;
    this.#news.hidden = count === 0;
    byId("chat-news-words").textContent = plural(count, "new message");
  }

  #announce(message: ChatMessage): void {
    const now = Date.now();
    this.#announced = this.#announced.filter((moment) => now - moment < ANNOUNCE_MS);
    if (this.#announced.length < MOST_ANNOUNCED) {
      this.#announced.push(now);
      this.options.announce(`${message.user?.username ?? "Somebody"} wrote: ${message.text.slice(0, LONGEST_ANNOUNCED)}`);
      return;
    }
    this.#swallowed += 1;
    if (this.#swallowed > 1) return;
    setTimeout(() => {
      this.options.announce(`${plural(this.#swallowed, "more message")} in the chat`);
      this.#swallowed = 0;
    }, ANNOUNCE_MS);
  }

  #written(): void {
    this.#draft.text = this.#field.value;
    this.#showRoom();
  }

  #showRoom(): void {
    const { length } = this.#field.value;
    const left = this.#limit - length;
    const words = byId("chat-room");
    words.textContent = length < this.#limit * TELL_ROOM_FROM ? "" : left >= 0 ? `${plural(left, "character")} left` : `${plural(-left, "character")} too long`;
    words.dataset.over = String(left < 0);
  }

  #showEmpty(): void {
    byId("chat-empty").hidden = this.#list.childElementCount > 0;
  }

  #freshen(): void {
    for (const element of this.#list.querySelectorAll("time")) element.textContent = timeWords(element.dateTime);
  }

  #scrolled(): void {
    if (this.#scroll.clientHeight === 0) return;
    this.#isPinned = this.#isAtEnd();
    if (this.#isPinned) this.#setBelow(0);
  }

  #isAtEnd(): boolean {
    if (this.#scroll.clientHeight === 0) return this.#isPinned;
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < 48;
  }

  #toEnd(): void {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#isPinned = true;
    this.#setBelow(0);
  }
}
