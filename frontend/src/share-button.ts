// The Share button. The dialog behind it is loaded when it is first opened.
import { announce, problem } from "./notices";
import { byId, type Page } from "./page";
import type { ShareDialog } from "./share";

export class ShareButton {
  #dialog: ShareDialog | null = null;

  constructor(private readonly page: Page) {
    byId("share-open").addEventListener("click", () => void this.#open());
  }

  /** Shows the session as it is now, if the dialog is open. */
  refresh(): void {
    this.#dialog?.refresh();
  }

  /** Somebody else let people in, took them out or changed what they may do. */
  peopleChanged(): void {
    this.#dialog?.peopleChanged();
  }

  async #open(): Promise<void> {
    try {
      const { ShareDialog } = await import("./share");
      this.#dialog ??= new ShareDialog(this.page, announce, problem);
    } catch {
      problem("The dialog could not be loaded. Check your connection and try again.");
      return;
    }
    await this.#dialog.open();
  }
}
