// The rail of files: open, make, rename and delete. The server checks names; the list itself comes with the document.
import * as Y from "yjs";
import { call, Problem } from "./api";
import { listDeleted } from "./bring-back";
import { type Author, type DeletedFile, watchDeletions } from "./deletions";
import type { GoneFile } from "./gone";
import { endNotice, notice, noticeOf } from "./notices";
import { byId, icon, make } from "./page";
import { type FileEntry, freePath, isFileId, listedFiles, MAIN } from "./texts";

export interface FilesOptions {
  sessionId: string;
  mayEdit(): boolean;
  /** Shows this file in the editor. */
  open(file: FileEntry): void;
  /** Shows the text of a deleted file in the editor, for reading. */
  openGone(file: GoneFile): void;
  /** A file that is shown here, or that holds what was typed here, was deleted by somebody else. */
  deleted(file: DeletedFile): void;
  /** Deleted files whose texts are still here. */
  gone(): GoneFile[];
  /** One of them is listed again, with this text. */
  returned(id: string, text: string): void;
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
  /** The file that this page is deleting. */
  #removing = "";
  /** The file whose deletion by this person can be undone. */
  #undoable = "";
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
  watch(doc: Y.Doc, author: Author, shown: string): void {
    this.#doc = doc;
    if (shown !== MAIN) this.#wanted = shown;
    watchDeletions(doc, author, (file) => this.#deleted(file));
    doc.getMap("files").observe(() => this.#changed());
    this.#changed();
  }

  get list(): FileEntry[] {
    return this.#doc ? listedFiles(this.#doc) : [];
  }

  get shown(): FileEntry {
    return [...this.list, ...this.options.gone()].find(({ id }) => id === this.current) ?? { id: MAIN, path: MAIN };
  }

  /** The shown file, if it is deleted. */
  get shownGone(): GoneFile | undefined {
    return this.list.some(({ id }) => id === this.current) ? undefined : this.options.gone().find(({ id }) => id === this.current);
  }

  /** Redraws what depends on the permission. */
  refresh(): void {
    this.#drawn = "";
    this.#draw();
  }

  open(id: string): void {
    if (id === this.current) return;
    const file = this.list.find((other) => other.id === id);
    if (file) {
      this.current = id;
      this.options.open(file);
      this.#draw();
    } else this.openGone(id);
  }

  /** Shows a deleted file, also in the place of itself. */
  openGone(id: string): void {
    const file = this.options.gone().find((other) => other.id === id);
    if (!file) return;
    this.current = id;
    this.options.openGone(file);
    this.#draw();
  }

  /** Makes a file of this text under its path, or one like it, and opens it. Throws a Problem. */
  async create(path: string, content = ""): Promise<string> {
    const free = content ? freePath(path, this.list) : path;
    const { id } = await call<{ id: string }>("POST", this.#address(), { path: free, content });
    // It comes with the document, before this answer or after it.
    this.#wanted = id;
    this.#changed();
    return free;
  }

  /** The list of deleted files has changed: the shown file may no longer be in it. */
  goneChanged(): void {
    if (this.#doc) this.#changed();
  }

  /** Brings a deleted file back for everybody, or makes a file of its text if the server no longer has it; opens it.
   * Throws a Problem. */
  async bringBack({ id, path, text }: FileEntry & { text: string }): Promise<string> {
    if (!isFileId(id)) return this.create(path, text);
    try {
      const back = await call<FileEntry>("POST", `${this.#address()}/deleted/${id}/restore`, {});
      this.#wanted = id;
      this.#changed();
      return back.path;
    } catch (problem) {
      if (!text || !(problem instanceof Problem) || problem.status !== 404) throw problem;
      return this.create(path, text);
    }
  }

  #deleted(file: DeletedFile): void {
    const isOwn = file.id === this.#removing;
    if (isOwn) {
      this.#removing = "";
      this.#offerUndo(file);
    } else if (file.id === this.current || (file.hasRest && this.options.mayEdit())) {
      this.options.deleted(file);
      if (file.id === this.current) this.openGone(file.id);
    }
    if (!isOwn && this.#dialog.open && file.id === this.#subject?.id) {
      this.#say(`${file.path} was deleted in the meantime.`);
      this.#delete.hidden = true;
      byId<HTMLButtonElement>("file-save").disabled = true;
    }
  }

  #offerUndo(file: DeletedFile): void {
    const { path } = file;
    this.#undoable = file.id;
    const act = async (): Promise<void> => {
      try {
        this.options.announce(`${await this.bringBack(file)} is back.`);
        endNotice(DELETED);
      } catch (problem) {
        notice(DELETED, `${path} was not restored. ${wordsFor(problem)}`, [{ words: "Try again", icon: "rotate-cw", act }]);
      }
    };
    notice(DELETED, `You deleted ${path} for everyone.`, [{ words: "Undo", icon: "rotate-cw", act }]);
  }

  #changed(): void {
    const files = this.list;
    const isListed = (id: string): boolean => files.some((file) => file.id === id);
    if (this.#wanted && isListed(this.#wanted)) {
      const id = this.#wanted;
      this.#wanted = "";
      this.open(id);
    }
    for (const { id } of this.options.gone()) if (isListed(id)) this.options.returned(id, this.#doc?.getText(id).toString() ?? "");
    if (this.#undoable && isListed(this.#undoable)) {
      this.#undoable = "";
      endNotice(DELETED);
    }
    const shown = files.find(({ id }) => id === this.current);
    if (shown) this.options.open(shown);
    else if (!this.shownGone) this.open(MAIN);
    this.#draw();
  }

  #draw(): void {
    const files = this.list;
    const gone = this.options.gone().filter(({ id }) => !files.some((file) => file.id === id));
    const mayEdit = this.options.mayEdit();
    byId("file-new-menu").hidden = !mayEdit;
    byId("file-new").hidden = !mayEdit;
    this.#rail.hidden = files.length + gone.length < 2;
    const picture = JSON.stringify([files, gone.map(({ id }) => id), this.current, mayEdit]);
    if (picture === this.#drawn) return;
    this.#drawn = picture;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement?.getAttribute("data-file") : null;
    this.#list.replaceChildren(...files.map((file) => this.#row(file, mayEdit)), ...gone.map((file) => this.#row(file, false, true)));
    if (focused) this.#list.querySelector<HTMLElement>(`[data-file="${focused}"]`)?.focus();
  }

  #row(file: FileEntry, mayEdit: boolean, isGone = false): HTMLElement {
    const isShown = file.id === this.current;
    const button = make(
      "button",
      { type: "button", class: isGone ? "file gone" : "file", "data-file": file.id, title: file.path, click: () => this.open(file.id) },
      make("span", {}, file.path),
      isGone && make("small", {}, "deleted"),
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
    byId<HTMLButtonElement>("file-save").disabled = false;
    this.#delete.hidden = file === null;
    delete this.#delete.dataset.sure;
    this.#delete.textContent = "Delete file";
    byId("file-deleted").hidden = true;
    if (!file) void listDeleted(this.#address(), (id, path) => void this.#try(async () => {
      await this.bringBack({ id, path, text: "" });
    }));
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
      await this.create(path);
    });
    if (!isDone) return;
    this.options.announce(subject ? `${subject.path} was renamed to ${path}.` : `${path} was created.`);
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
    this.#removing = subject.id;
    const isDone = await this.#try(() => call<void>("DELETE", this.#address(subject.id)));
    if (!isDone) {
      this.#removing = "";
      return;
    }
    this.options.announce(`${subject.path} was deleted.`);
    noticeOf(DELETED)?.querySelector("button")?.focus();
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
      this.#say(wordsFor(problem));
      return false;
    }
  }

  #say(words: string): void {
    this.#problem.textContent = words;
    this.#problem.hidden = !words;
  }
}

/** The key of the notice about one's own deletion. */
const DELETED = "file-deleted";

const wordsFor = (problem: unknown): string =>
  problem instanceof Problem ? problem.message : "That did not work. Nothing was changed. Try again.";
