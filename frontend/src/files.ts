// The rail of files: open, make, rename and delete. The server checks names; the list itself comes with the document.
import * as Y from "yjs";
import { call, Problem } from "./api";
import { byId, icon, make } from "./page";
import { type FileEntry, listedFiles, MAIN } from "./texts";

export interface FilesOptions {
  sessionId: string;
  mayEdit(): boolean;
  /** Shows this file in the editor, because it was chosen or because the one that was shown is gone. */
  open(file: FileEntry): void;
  /** Puts the keyboard into the editor. */
  focus(): void;
  announce(words: string): void;
}

export class Files {
  current = MAIN;

  readonly #rail = byId("files");
  readonly #list = byId("files-list");
  readonly #dialog = byId<HTMLDialogElement>("file-dialog");
  readonly #field = byId<HTMLInputElement>("file-path");
  readonly #problem = byId("file-problem");
  readonly #delete = byId<HTMLButtonElement>("file-delete");
  #doc: Y.Doc | null = null;
  /** The file that the dialog is about; null for a new one. */
  #subject: FileEntry | null = null;
  #wanted = "";
  #drawn = "";

  constructor(private readonly options: FilesOptions) {
    for (const id of ["file-new", "file-new-menu"]) byId(id).addEventListener("click", () => this.#ask(null));
    byId("file-cancel").addEventListener("click", () => this.#dialog.close());
    byId<HTMLFormElement>("file-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save();
    });
    this.#delete.addEventListener("click", () => void this.#remove());
  }

  /** Follows the list of this document; `shown` is what was open before it, and opens again once it is there. */
  watch(doc: Y.Doc, shown = MAIN): void {
    this.#doc = doc;
    if (shown !== MAIN) this.#wanted = shown;
    doc.getMap("files").observe(() => this.#changed());
    this.#changed();
  }

  get list(): FileEntry[] {
    return this.#doc ? listedFiles(this.#doc) : [];
  }

  get shown(): FileEntry {
    return this.list.find(({ id }) => id === this.current) ?? { id: MAIN, path: MAIN };
  }

  /** Draws anew what depends on the permission. */
  refresh(): void {
    this.#drawn = "";
    this.#draw();
  }

  open(id: string): void {
    const file = this.list.find((other) => other.id === id);
    if (!file || file.id === this.current) return;
    this.current = file.id;
    this.options.open(file);
    this.#draw();
  }

  #changed(): void {
    const files = this.list;
    if (this.#wanted && files.some(({ id }) => id === this.#wanted)) {
      const id = this.#wanted;
      this.#wanted = "";
      this.open(id);
    }
    if (!files.some(({ id }) => id === this.current)) {
      this.options.announce("The file that you had open was deleted.");
      this.open(MAIN);
    }
    this.#draw();
  }

  #draw(): void {
    const files = this.list;
    const mayEdit = this.options.mayEdit();
    byId("file-new-menu").hidden = !mayEdit;
    byId("file-new").hidden = !mayEdit;
    this.#rail.hidden = files.length < 2;
    const picture = JSON.stringify([files, this.current, mayEdit]);
    if (picture === this.#drawn) return;
    this.#drawn = picture;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement?.getAttribute("data-file") : null;
    this.#list.replaceChildren(...files.map((file) => this.#row(file, mayEdit)));
    if (focused) this.#list.querySelector<HTMLElement>(`[data-file="${focused}"]`)?.focus();
  }

  #row(file: FileEntry, mayEdit: boolean): HTMLElement {
    const isShown = file.id === this.current;
    const button = make(
      "button",
      { type: "button", class: "file", "data-file": file.id, title: file.path, click: () => this.open(file.id) },
      make("span", {}, file.path),
    );
    if (isShown) button.setAttribute("aria-current", "true");
    const change = isShown && mayEdit && file.id !== MAIN && make(
      "button",
      { type: "button", class: "button small quiet icon-only", "aria-label": `Rename or delete ${file.path}`, title: "Rename or delete", click: () => this.#ask(file) },
      icon("ellipsis"),
    );
    return make("li", {}, button, change);
  }

  #ask(file: FileEntry | null): void {
    this.#subject = file;
    byId("more").hidePopover();
    this.#say("");
    byId("file-title").textContent = file ? "Rename or delete" : "New file";
    byId("file-save").textContent = file ? "Rename" : "Create file";
    this.#field.value = file?.path ?? "";
    this.#delete.hidden = file === null;
    delete this.#delete.dataset.sure;
    this.#delete.textContent = "Delete file";
    this.#dialog.showModal();
    this.#field.focus();
    const name = this.#field.value.lastIndexOf("/") + 1;
    const dot = this.#field.value.lastIndexOf(".");
    this.#field.setSelectionRange(name, dot > name ? dot : this.#field.value.length);
  }

  async #save(): Promise<void> {
    const path = this.#field.value.trim();
    const subject = this.#subject;
    if (!path || path === subject?.path) {
      this.#dialog.close();
      return;
    }
    const isDone = await this.#try(async () => {
      if (subject) {
        await call("PATCH", this.#address(subject.id), { path });
        return;
      }
      const { id } = await call<{ id: string }>("POST", this.#address(), { path });
      // It comes with the document, before this answer or after it.
      this.#wanted = id;
      this.#changed();
    });
    if (!isDone) return;
    this.options.announce(subject ? `${subject.path} is called ${path} now.` : `${path} was created.`);
    this.options.focus();
  }

  async #remove(): Promise<void> {
    const subject = this.#subject;
    if (!subject) return;
    if (!this.#delete.dataset.sure) {
      this.#delete.dataset.sure = "yes";
      this.#delete.textContent = "Delete it for everyone";
      return;
    }
    const isDone = await this.#try(async () => {
      await call("DELETE", this.#address(subject.id));
    });
    if (isDone) this.options.announce(`${subject.path} was deleted.`);
  }

  #address(id = ""): string {
    return `/api/sessions/${this.options.sessionId}/files${id && `/${id}`}`;
  }

  async #try(work: () => Promise<void>): Promise<boolean> {
    this.#say("");
    try {
      await work();
      this.#dialog.close();
      return true;
    } catch (problem) {
      this.#say(problem instanceof Problem ? problem.message : "That did not work. Nothing was changed. Try again.");
      return false;
    }
  }

  #say(words: string): void {
    this.#problem.textContent = words;
    this.#problem.hidden = !words;
  }
}
