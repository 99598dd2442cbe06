// Files that were deleted while somebody had them open here, or had typed in them: their texts stay for reading until
// they are kept as a file, downloaded and discarded. What nobody else has is put on the device, too.
import { type CopyName, remove } from "./copies";
import type { DeletedFile } from "./deletions";
import { keepText } from "./device";
import { announce, endNotice, notice, type NoticeAction, noticeOf } from "./notices";
import type { Person } from "./page";
import type { FileEntry } from "./texts";

export interface GoneFile extends DeletedFile {
  /** Who deleted it, as far as it is known. */
  by: string;
  kept: CopyName | null;
}

export interface GoneFilesOptions {
  sessionId: string;
  me: Person;
  mayEdit(): boolean;
  /** Makes a file of this text and shows it. Resolves with false when that was not possible. */
  keep(file: GoneFile): Promise<boolean>;
  download(file: GoneFile): void;
  /** The list has changed. */
  changed(): void;
}

export class GoneFiles {
  readonly #files = new Map<string, GoneFile>();
  /** Who announced deletions are by, by file id: the announcement may come before the deletion. */
  readonly #deletedBy = new Map<string, string>();

  constructor(private readonly options: GoneFilesOptions) {}

  get list(): GoneFile[] {
    return [...this.#files.values()];
  }

  get(id: string): GoneFile | undefined {
    return this.#files.get(id);
  }

  /** Those with something in them that is in no file of the session and never was. */
  get unsaved(): GoneFile[] {
    return this.list.filter(({ hasRest }) => hasRest);
  }

  /** Whether closing the page now would lose something that was typed. */
  get isAtRisk(): boolean {
    return this.unsaved.some(({ kept }) => !kept);
  }

  add(deleted: DeletedFile, kept: CopyName | null = null): void {
    const file: GoneFile = { ...deleted, by: this.#deletedBy.get(deleted.id) ?? "", kept };
    this.#files.set(file.id, file);
    this.#offer(file);
    announce(wordsOf(file));
    this.options.changed();
    if (!file.hasRest || kept) return;
    void keepText(this.options.me.id, this.options.sessionId, file.path, file.text).then((name) => {
      file.kept = name;
      if (name && this.#files.get(file.id) !== file) void remove([name]);
    });
  }

  /** Somebody's deletion of a file was announced. */
  deletedBy(id: string, person: Person): void {
    const by = person.id === this.options.me.id ? "You" : person.username;
    this.#deletedBy.set(id, by);
    const file = this.#files.get(id);
    if (!file) return;
    file.by = by;
    this.#offer(file);
  }

  /** The file is in the session again, with this text. What that does not hold stays on offer. */
  returned(id: string, text: string): void {
    const file = this.#files.get(id);
    if (file && (!file.hasRest || file.text === text)) this.#end(id);
  }

  /** Offers each file again, with what the permission now allows. */
  refresh(): void {
    for (const file of this.list) this.#offer(file);
  }

  /** Says again what can be done with this text, if that was dismissed. */
  offer(id: string): void {
    const file = this.#files.get(id);
    if (file && !noticeOf(keyOf(file))) this.#offer(file);
  }

  #offer(file: GoneFile): void {
    const keep: NoticeAction = {
      words: "Keep it as a file",
      icon: "plus",
      act: () => void this.options.keep(file).then((isKept) => isKept && this.#end(file.id)),
    };
    notice(keyOf(file), wordsOf(file), [
      ...(this.options.mayEdit() ? [keep] : []),
      { words: "Download my copy", icon: "download", act: () => this.options.download(file) },
      { words: "Discard", icon: "x", act: () => this.#end(file.id) },
    ]);
  }

  #end(id: string): void {
    const file = this.#files.get(id);
    if (!file) return;
    this.#files.delete(id);
    endNotice(keyOf(file));
    if (file.kept) void remove([file.kept]);
    this.options.changed();
  }
}

const keyOf = ({ id }: FileEntry): string => `gone-${id}`;

function wordsOf({ path, by, hasRest }: GoneFile): string {
  const what = by === "You" ? `You deleted ${path} in another window.` : by ? `${by} deleted ${path}.` : `${path} was deleted.`;
  return `${what} ${hasRest ? "What you typed last is not in any file. " : ""}You can still read its text here.`;
}
