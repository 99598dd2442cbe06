// The text as the server has it, read over REST and shown in the editor's place while no live connection can be made.
import { call, Problem } from "./api";
import { byId, make } from "./page";

interface ListedFile {
  id: string;
  path: string;
}

export class Reading {
  #element: HTMLElement | null = null;
  #text: HTMLElement | null = null;
  #path = "";

  constructor(
    private readonly sessionId: string,
    private readonly problem: (words: string) => void,
  ) {}

  get isShown(): boolean {
    return this.#element !== null;
  }

  /** The file that is shown, for a copy of it. */
  get file(): { path: string; text: string } {
    return { path: this.#path, text: this.#text?.textContent ?? "" };
  }

  /** Returns whether the server answered; without it, the page shows the text that it brought along. */
  async show(): Promise<boolean> {
    if (this.#element) return true;
    const files = await call<ListedFile[]>("GET", `/api/sessions/${this.sessionId}/files`).catch(() => null);
    const first = files?.[0];
    const text = first ? await this.#read(first).catch(() => null) : null;
    if (this.#element) return text !== null;
    this.#text = make("pre", { class: "reading-text", tabindex: "0", role: "region", "aria-label": "Text for reading" });
    this.#element = make("div", { class: "reading" }, files && files.length > 1 && this.#menu(files), this.#text);
    this.#path = first?.path ?? "";
    this.#text.textContent = text ?? textOfPage();
    byId("editor").before(this.#element);
    return text !== null;
  }

  hide(): void {
    this.#element?.remove();
    this.#element = this.#text = null;
  }

  #menu(files: ListedFile[]): HTMLElement {
    const menu = make("select", { class: "select small", "aria-label": "File" });
    for (const { id, path } of files) menu.append(new Option(path, id));
    menu.addEventListener("change", async () => {
      const file = files.find(({ id }) => id === menu.value);
      if (!file) return;
      try {
        const text = await this.#read(file);
        if (menu.value !== file.id || !this.#text) return;
        this.#path = file.path;
        this.#text.textContent = text;
      } catch (failure) {
        this.problem(failure instanceof Problem ? failure.message : "The file could not be read. Try again.");
      }
    });
    return menu;
  }

  async #read({ id }: ListedFile): Promise<string> {
    return (await call<{ content: string }>("GET", `/api/sessions/${this.sessionId}/files/${encodeURIComponent(id)}`)).content;
  }
}

/** What browsers without scripts show. Parsed apart from the page, so that nothing in it can run. */
function textOfPage(): string {
  const words = document.querySelector("#editor-pane noscript")?.textContent ?? "";
  return new DOMParser().parseFromString(words, "text/html").querySelector("pre")?.textContent ?? "";
}
