// The keys of the whole page, and how they are named on this device.
import { byId } from "./page";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

/** What each key does while Control, or Command on a Mac, is held down. */
export function setUpShortcuts(keys: Record<string, () => void>): void {
  if (isMac) for (const key of document.querySelectorAll<HTMLElement>("[data-mac]")) key.textContent = key.dataset.mac ?? "";
  // In the capture phase, so that the editor's own bindings do not take these first.
  const listen = (event: KeyboardEvent): void => {
    const act = keys[event.key];
    if (!act || !(isMac ? event.metaKey : event.ctrlKey) || event.altKey || event.shiftKey) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  };
  addEventListener("keydown", listen, true);
}

/** The menu closes once something in it was chosen. */
export function setUpMenu(choices: Record<string, () => void>): void {
  for (const [id, act] of Object.entries(choices)) {
    byId(id).addEventListener("click", () => {
      act();
      byId("more").hidePopover();
    });
  }
}
