// Tells when a file leaves the list of a shared document, with its text as it was until then: the server keeps it, but
// a page may have taken it away in the same transaction.
import * as Y from "yjs";
import { type FileEntry, isFileId, listedFiles } from "./texts";

export interface DeletedFile extends FileEntry {
  text: string;
  /** Whether something was typed into it that the one who deleted it did not have. */
  hasRest: boolean;
}

/** The person at this page: whether a change is theirs, and whether the server has all of their changes (Collab). */
export interface Author {
  isFromHere(origin: unknown): boolean;
  readonly isSaved: boolean;
}

/** Calls `tell` before anything else learns of the deletion, so that the editor can be taken off the text. Also for
 * text that comes from this device and belongs to a file that is deleted already. */
export function watchDeletions(doc: Y.Doc, author: Author, tell: (file: DeletedFile) => void): void {
  const list = doc.getMap("files");
  let listed = listedFiles(doc);
  const paths = new Map(listed.map(({ id, path }) => [id, path]));
  const typedHere = new Set<string>();
  doc.on("beforeObserverCalls", (transaction: Y.Transaction) => {
    const before = listed;
    if (transaction.changed.has(list as unknown as Y.AbstractType<Y.YEvent<any>>)) {
      listed = listedFiles(doc);
      for (const { id, path } of listed) paths.set(id, path);
    }
    const isListed = (id: string): boolean => listed.some((file) => file.id === id);
    for (const file of before) {
      if (isListed(file.id)) continue;
      const text = doc.getText(file.id);
      const hasRest = isKept(text, transaction) ? typedHere.has(file.id) && !author.isSaved : text.length > 0;
      tell({ ...file, text: textBefore(text, transaction), hasRest });
    }
    if (!author.isFromHere(transaction.origin)) return;
    for (const [id, type] of doc.share) if (transaction.changed.has(type)) typedHere.add(id);
    for (const [id, type] of doc.share) {
      if (!isFileId(id) || isListed(id) || before.some((file) => file.id === id) || !transaction.changed.has(type)) continue;
      const text = doc.getText(id).toString();
      if (text) tell({ id, path: paths.get(id) ?? "untitled.txt", text, hasRest: true });
    }
  });
}

/** Whether the transaction deleted nothing of the text as it was when it began. */
function isKept(text: Y.Text, transaction: Y.Transaction): boolean {
  for (let item = text._start; item; item = item.right) {
    if (Y.isDeleted(transaction.deleteSet, item.id)) return false;
  }
  return true;
}

/** The text as it was when the transaction began. Until its observers have run, Yjs holds what it deleted. */
export function textBefore(text: Y.Text, transaction: Y.Transaction): string {
  const parts: string[] = [];
  for (let item = text._start; item; item = item.right) {
    const isNew = item.id.clock >= (transaction.beforeState.get(item.id.client) ?? 0);
    const wasThere = !item.deleted || Y.isDeleted(transaction.deleteSet, item.id);
    if (!isNew && wasThere && item.content instanceof Y.ContentString) parts.push(item.content.str);
  }
  return parts.join("");
}
