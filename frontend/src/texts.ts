// The files of a shared document: which there are, and all of them as one text.
import type * as Y from "yjs";

export const MAIN = "main";

export interface FileEntry {
  id: string;
  path: string;
}

const FILE_ID = /^f_[0-9a-f]{32}$/;
const MOST_FILES = 50;

/** Whether a root of this name may hold the text of a file other than the one that the program starts in. */
export const isFileId = (name: string): boolean => FILE_ID.test(name);

/** The file that the program starts in first, the others by path. */
export function listedFiles(doc: Y.Doc): FileEntry[] {
  const paths = doc.getMap<unknown>("files");
  const name = (id: string): string => {
    const path = paths.get(id);
    return typeof path === "string" && path ? path : id;
  };
  const others = [...paths.keys()].filter(isFileId).sort().slice(0, MOST_FILES - 1);
  const byPath = (one: FileEntry, other: FileEntry): number => one.path.localeCompare(other.path) || one.id.localeCompare(other.id);
  return [{ id: MAIN, path: name(MAIN) }, ...others.map((id) => ({ id, path: name(id) })).sort(byPath)];
}

/** For a copy that leaves the page: the text, or each file's under its path when there are several. */
export function wholeText(doc: Y.Doc): string {
  const files = listedFiles(doc);
  if (files.length === 1) return doc.getText(MAIN).toString();
  return files.map(({ id, path }) => `==> ${path} <==\n${doc.getText(id).toString()}`).join("\n");
}

/** The size in UTF-8 of the longest text. */
export function longestBytes(doc: Y.Doc): number {
  const encoder = new TextEncoder();
  return Math.max(...listedFiles(doc).map(({ id }) => encoder.encode(doc.getText(id).toString()).length));
}

/** The path, or the first of its kind that no listed file has: "lib/words (2).txt". */
export function freePath(path: string, listed: FileEntry[]): string {
  const taken = new Set(listed.map((file) => file.path.toLowerCase()));
  const dot = path.lastIndexOf(".");
  const end = dot > path.lastIndexOf("/") + 1 ? dot : path.length;
  let free = path;
  for (let count = 2; taken.has(free.toLowerCase()); count += 1) free = `${path.slice(0, end)} (${count})${path.slice(end)}`;
  return free;
}
