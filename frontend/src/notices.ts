// What the page says: notices above the editor, words for screen readers, and files that are handed out.
import { byId, icon, make } from "./page";

export interface NoticeAction {
  words: string;
  icon: string;
  act(): void;
}

/** Tells screen readers, one after the other: a later message must not swallow an earlier one. They hear nothing that is
 * outside an open dialog. */
export function announce(words: string): void {
  const line = make("p", {}, words);
  (document.querySelector("dialog[open] [role=status]") ?? byId("announcer")).append(line);
  setTimeout(() => line.remove(), 10_000);
}

/** Words above the editor that stay until they are dismissed or replaced. `key` tells whose they are. */
export function notice(key: string, words: string, actions: NoticeAction[] = []): void {
  const bar = make("div", { class: "notice", role: "alert", "data-key": key });
  const buttons = actions.map((action) => make("button", { type: "button", class: "button small", click: () => action.act() }, icon(action.icon), action.words));
  const dismiss = make("button", { type: "button", class: "button small quiet icon-only", "aria-label": "Dismiss", click: () => endNotice(key) }, icon("x"));
  bar.append(make("p", {}, words), ...buttons, dismiss);
  endNotice(key);
  byId("notices").append(bar);
}

export const noticeOf = (key: string): HTMLElement | null => byId("notices").querySelector(`[data-key="${key}"]`);
export const endNotice = (key: string): void => noticeOf(key)?.remove();
export const problem = (words: string): void => notice("problem", words);

export function download(text: string, name: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Hands out a copy of `text`, under the name that it has then. */
export const downloadAction = (
  text: () => string,
  name: () => string,
  after: () => void = () => undefined,
  words = "Download my copy",
): NoticeAction => ({
  words,
  icon: "download",
  act: () => {
    download(text(), name());
    after();
  },
});
