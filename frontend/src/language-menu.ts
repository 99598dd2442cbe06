// The language of the session: the menu in the header, its name and version in the status line, and what runs here.
import { call, reasonOf } from "./api";
import { changeField } from "./changes";
import { problem } from "./notices";
import { byId, type Language, type Page } from "./page";
import { type FileEntry, MAIN } from "./texts";

export interface LanguageMenuOptions {
  /** Another language than before is shown. */
  shown(): void;
  /** What runs here is known. */
  read(): void;
  /** A change was saved or refused: the session may differ in other fields, too. */
  saved(): void;
}

export class LanguageMenu {
  readonly #menu = byId<HTMLSelectElement>("language");
  #shown = "";

  constructor(
    private readonly page: Page,
    private readonly options: LanguageMenuOptions,
  ) {
    this.#menu.addEventListener("change", () => void this.#choose(this.#menu.value));
  }

  set isDisabled(isDisabled: boolean) {
    this.#menu.disabled = isDisabled;
  }

  /** The name under which the program starts. */
  get entryName(): string {
    return this.#language()?.file_name ?? "main.txt";
  }

  /** Why the session's language cannot be run here; empty if it can, as far as is known. */
  get refusal(): string {
    const language = this.#language();
    return language?.available === false ? `${language.unavailable_reason ?? "It cannot be run here."} Everything else works.` : "";
  }

  nameOf(key: string): string {
    return this.#language(key)?.name ?? key;
  }

  limitsOf(key: string): NonNullable<Language["limits"]> {
    return this.#language(key)?.limits ?? {};
  }

  /** The language of a file: the session's for the one that it starts in, else what its name says. */
  languageOf({ id, path }: FileEntry): string {
    if (id === MAIN) return this.page.session.language;
    const suffix = /\.[^./]+$/.exec(path)?.[0];
    if (!suffix) return "";
    const own = this.#language();
    if (own?.file_name.endsWith(suffix)) return own.key;
    return this.page.languages.find(({ file_name }) => file_name.endsWith(suffix))?.key ?? "";
  }

  /** Shows the session's language, if another one is shown. */
  show(): void {
    if (this.#shown !== this.page.session.language) this.#show();
  }

  /** Reads which languages run here, and their versions. Without an answer Run stays enabled: the server refuses with its
   * reason. */
  async read(): Promise<void> {
    this.page.languages = await call<Language[]>("GET", "/api/execute/languages");
    for (const option of this.#menu.options) {
      const language = this.#language(option.value);
      if (language) option.text = language.available ? language.name : `${language.name} (cannot be run here)`;
    }
    this.#showVersion();
    this.options.read();
  }

  async #choose(wanted: string): Promise<void> {
    const { session } = this.page;
    try {
      if (!(await changeField(session, "language", wanted, this.#shown as typeof session.language))) {
        problem(`Somebody else has just changed the language to ${this.nameOf(session.language)}. Choose ${this.nameOf(wanted)} again if you still want it.`);
      }
    } catch (failure) {
      problem(reasonOf(failure, "The language was not changed. Try again."));
    }
    this.#show();
    this.options.saved();
  }

  #show(): void {
    this.#shown = this.#menu.value = this.page.session.language;
    this.#showVersion();
    this.options.shown();
  }

  #showVersion(): void {
    const language = this.#language();
    byId("language-version").textContent = language ? [language.name, language.version].filter(Boolean).join(" ") : this.page.session.language;
  }

  #language(key: string = this.page.session.language): Language | undefined {
    return this.page.languages.find((language) => language.key === key);
  }
}
