// How messages of the chat look: heads, times, links; and how many are unread, on the tabs.
import { serverNow } from "./clock";
import { addressesIn } from "./links";
import { clockTime, exactTime, make, plural, relativeTime } from "./page";

/** Messages of one person within this time share one head. */
const SAME_HEAD_MS = 300_000;

/** One head for several messages of one person in a row. */
export function dressHead(item: HTMLElement): void {
  const before = item.previousElementSibling as HTMLElement | null;
  const isSame =
    before?.dataset.who !== undefined && before.dataset.who === item.dataset.who &&
    Date.parse(item.dataset.at ?? "") - Date.parse(before.dataset.at ?? "") < SAME_HEAD_MS;
  item.classList.toggle("chat-goes-on", isSame);
}

export function withLinks(text: string): (HTMLElement | string)[] {
  return addressesIn(text).map((piece) =>
    piece.href ? make("a", { href: piece.href, target: "_blank", rel: "noopener nofollow ugc" }, piece.text) : piece.text);
}

/** Relative while that says more than the clock. */
export function timeWords(when: string): string {
  const age = serverNow() - Date.parse(when);
  return age < 3_600_000 ? relativeTime(when) : age < 43_200_000 ? clockTime(when) : relativeTime(when);
}

export function time(when: string): HTMLElement {
  return make("time", { datetime: when, title: exactTime(when) }, timeWords(when));
}

/** Shows how many messages of others have not been looked at. */
export function showUnread(count: number): void {
  for (const mark of document.querySelectorAll<HTMLElement>("[data-unread]")) {
    mark.hidden = count === 0;
    mark.textContent = count === 0 ? "" : count > 99 ? "99+" : String(count);
  }
  for (const tab of document.querySelectorAll<HTMLElement>("[data-show=chat]")) {
    tab.setAttribute("aria-label", count > 0 ? `Chat, ${plural(count, "unread message")}` : "Chat");
  }
}
