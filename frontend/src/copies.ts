// What this browser keeps of texts that the server has not taken yet: one database per person, session and epoch, in
// the form of y-indexeddb. Here they are named, listed and removed; device.ts writes them.
import * as idb from "lib0/indexeddb";

const PREFIX = "codecrafter";
export const UPDATES = "updates";
export const NOTES = "custom";
/** In NOTES, one per open page: how many of its changes the server has not acknowledged. */
export const UNSAVED = "unsaved:";
/** In NOTES, of a copy that was set apart: why. */
export const REASON = "reason";

/** Tells other open pages of a person who logs out not to write a copy again. */
export const LOGGED_OUT_CHANNEL = "codecrafter-logged-out";

export const nameOf = (userId: string, sessionId: string, part: string): string => [PREFIX, userId, sessionId, part].join(":");

export interface CopyName {
  name: string;
  sessionId: string;
  /** The epoch, or what tells a copy that was set apart from others. */
  part: string;
}

/** The databases of one person, of one session if it is given. Empty where the browser keeps none. */
export async function listCopies(userId: string, sessionId = ""): Promise<CopyName[]> {
  const start = `${PREFIX}:${userId}:${sessionId}`;
  try {
    const names = (await indexedDB.databases()).map(({ name }) => name ?? "").filter((name) => name.startsWith(start));
    return names.map((name) => {
      const [, , session = "", part = ""] = name.split(":");
      return { name, sessionId: session, part };
    });
  } catch {
    return [];
  }
}

export async function open(name: string): Promise<IDBDatabase> {
  return idb.openDB(name, (db) => idb.createStores(db, [[UPDATES, { autoIncrement: true }], [NOTES]]));
}

/** How many changes a database holds that no server acknowledged; 0 for one that can go. */
export async function unsavedIn(name: string): Promise<number> {
  const db = await open(name);
  try {
    return await countUnsaved(db);
  } finally {
    db.close();
  }
}

export async function countUnsaved(db: IDBDatabase): Promise<number> {
  const [notes] = idb.transact(db, [NOTES], "readonly");
  if (!notes) return 0;
  const found = (await idb.getAllKeysValues(notes)) as { k: unknown; v: unknown }[];
  return found.filter(({ k }) => String(k).startsWith(UNSAVED)).reduce((sum, { v }) => sum + Number(v), 0);
}

export async function remove(names: CopyName[]): Promise<void> {
  await Promise.allSettled(names.map(({ name }) => idb.deleteDB(name)));
}
