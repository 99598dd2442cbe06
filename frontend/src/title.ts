// The title in the header: a field that shows what the title is, also after somebody else has changed it.
import { reasonOf } from "./api";
import { changeField } from "./changes";
import { endNotice, notice, type NoticeAction } from "./notices";
import { byId, type Page } from "./page";

export class TitleField {
  readonly #field = byId<HTMLInputElement>("title");
  /** What the person saw when they began to write. */
  #base: string;
  #isSaving = false;

  constructor(
    private readonly session: Page["session"],
    /** Who gave the session its title, as far as this page has heard. */
    private readonly namedBy: () => string,
    private readonly saved: () => void,
  ) {
    this.#base = session.title;
    this.#field.addEventListener("focus", () => {
      this.#base = this.session.title;
    });
    this.#field.addEventListener("change", () => void this.#save(this.#field.value.trim(), this.#base));
    this.#field.addEventListener("blur", () => this.show());
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#field.value = this.#base = this.session.title;
      if (event.key === "Enter" || event.key === "Escape") this.#field.blur();
    });
  }

  set isReadOnly(isReadOnly: boolean) {
    this.#field.readOnly = isReadOnly;
  }

  /** Shows the title as it is. What somebody is writing stays. */
  show(): void {
    const { title } = this.session;
    const isWriting = document.activeElement === this.#field && this.#field.value !== this.#base;
    if (isWriting || this.#isSaving || this.#field.value === title) return;
    this.#field.value = this.#base = title;
  }

  async #save(title: string, base: string): Promise<void> {
    if (!title || title === base) return;
    this.#isSaving = true;
    try {
      if (await changeField(this.session, "title", title, base)) endNotice("title");
      else this.#tellBoth(title);
    } catch (failure) {
      notice("title", `${reasonOf(failure, "The title was not saved.")} You wrote “${title}”.`, [this.#tryAgain("Try again", title, base)]);
    }
    this.#isSaving = false;
    this.#base = this.#field.value = this.session.title;
    this.saved();
  }

  #tellBoth(mine: string): void {
    const { title } = this.session;
    notice("title", `${this.namedBy()} renamed this session to “${title}” while you were writing “${mine}”. Yours was not saved.`, [
      this.#tryAgain("Use mine", mine, title),
      { words: "Keep theirs", icon: "x", act: () => endNotice("title") },
    ]);
  }

  #tryAgain(words: string, title: string, base: string): NoticeAction {
    return { words, icon: "check", act: () => void this.#save(title, base) };
  }
}
