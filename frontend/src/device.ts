// The copy of a live document on this device, kept only while something of it is not saved on the server: written
// from the first change that waits, and emptied once the server has acknowledged everything in it.
import * as idb from "lib0/indexeddb";
import { fetchUpdates, IndexeddbPersistence } from "y-indexeddb";
import * as Y from "yjs";
import { type CopyName, countUnsaved, listCopies, LOGGED_OUT_CHANNEL, nameOf, NOTES, open, REASON, remove, UNSAVED, UPDATES } from "./copies";
import { listedFiles, MAIN, wholeText } from "./texts";

/** A browser that takes longer than this to open its storage is treated as one that keeps nothing. */
const OPEN_MS = 5_000;

/** A text of this session that cannot be merged any more and was not saved. */
export interface Leftover {
  name: CopyName;
  /** The path of the entry file, or of the only file it holds. */
  path: string;
  text: string;
  count: number;
  reason: string;
}

export class DeviceCopy {
  /** Whether this browser refused to keep something, or the copy was taken away. */
  isFailing = false;
  #store: IndexeddbPersistence | null = null;
  #starting: Promise<void> | null = null;
  #noted = 0;
  #isOver = false;
  readonly #mark = `${UNSAVED}${Math.random().toString(36).slice(2)}`;
  readonly #loggedOut = new BroadcastChannel(LOGGED_OUT_CHANNEL);

  constructor(
    private readonly doc: Y.Doc,
    private readonly userId: string,
    private readonly sessionId: string,
  ) {
    this.#loggedOut.onmessage = ({ data }) => {
      if (data === userId) this.#stop();
    };
  }

  /** What updates of the document that come from this device have as their origin. */
  get origin(): unknown {
    return this.#store;
  }

  get isStarted(): boolean {
    return this.#starting !== null;
  }

  /** The number that was given with the newest change which is on the device. */
  get noted(): number {
    return this.#noted;
  }

  /** Takes up what an earlier page left. Returns how many changes that were, or null if there was nothing. */
  async takeUp(epoch: string): Promise<number | null> {
    const name = nameOf(this.userId, this.sessionId, epoch);
    if (!(await listCopies(this.userId, this.sessionId)).some((found) => found.name === name)) return null;
    await this.start(epoch);
    const db = this.#store?.db;
    if (!db) return null;
    try {
      const count = await countUnsaved(db);
      const [notes] = idb.transact(db, [NOTES]) as [IDBObjectStore];
      await Promise.all([idb.rtop(notes.clear()), idb.put(notes, count, this.#mark)]);
      return count;
    } catch {
      this.isFailing = true;
      return null;
    }
  }

  /** Begins to keep the document; what it holds already is written first. Never rejects. */
  start(epoch: string): Promise<void> {
    this.#starting ??= this.#open(nameOf(this.userId, this.sessionId, epoch)).catch(() => {
      this.isFailing = true;
    });
    return this.#starting;
  }

  async #open(name: string): Promise<void> {
    if (this.#isOver) throw new Error("the copy is not wanted any more");
    // y-indexeddb does not tell when the browser refuses: blocked, private or full storage shows here.
    (await inTime(open(name))).close();
    const store = new IndexeddbPersistence(name, this.doc);
    await inTime(store.whenSynced).catch(() => undefined);
    if (this.#isOver || !store.synced || !store.db) {
      void store.destroy();
      throw new Error("the copy is not wanted any more, or cannot be made");
    }
    store.db.addEventListener("abort", () => (this.isFailing = true));
    // Somebody removes the copy, or the browser does. A closed database would throw at the next change.
    const lost = (): void => {
      this.isFailing = true;
      void store.destroy();
    };
    store.db.addEventListener("versionchange", lost);
    store.db.addEventListener("close", lost);
    this.#store = store;
  }

  /** Writes down how many changes wait. Once it is done, change number `upTo` and all before it are on the device. */
  async note(count: number, upTo: number): Promise<void> {
    await this.#starting;
    // y-indexeddb writes the change itself in the handlers that run now.
    await Promise.resolve();
    const store = this.#store;
    if (!store || this.isFailing || this.#isOver) return;
    try {
      await store.set(this.#mark, count);
      if (!this.isFailing) this.#noted = Math.max(this.#noted, upTo);
    } catch {
      this.isFailing = true;
    }
  }

  /** Empties the copy: the server has everything that this page knows of. `isSaved` is asked again at the last moment.
   * Returns false when another page of this browser has written to it meanwhile. */
  async release(isSaved: () => boolean): Promise<boolean> {
    await this.#starting;
    const store = this.#store;
    if (!store?.db || this.isFailing) return true;
    try {
      // What another page of this browser has written comes into this document, and from here to the server.
      await fetchUpdates(store);
      if (!isSaved()) return true;
      const [updates, notes] = idb.transact(store.db, [UPDATES, NOTES]);
      // In one transaction: a change that was written meanwhile keeps everything.
      const newest = ((await idb.getLastKey(updates as IDBObjectStore)) ?? 0) as number;
      if (newest >= store._dbref || !isSaved()) return false;
      await Promise.all([idb.rtop((updates as IDBObjectStore).clear()), idb.rtop((notes as IDBObjectStore).clear())]);
      this.#store = null;
      this.#starting = null;
      await store.destroy();
    } catch {
      this.isFailing = true;
    }
    return true;
  }

  /** Sets the document apart, to be offered and never merged, if it has changes that no server has; the copy that
   * would be merged is removed. Returns where it is. */
  async setApart(count: number, reason: string, epoch: string): Promise<CopyName | null> {
    const store = this.#store;
    // What another page of this browser has written is set apart with the rest.
    if (store?.db && !this.isFailing) await fetchUpdates(store).catch(() => undefined);
    this.#stop();
    const kept = count > 0 ? await keepApart(this.doc, this.userId, this.sessionId, count, reason) : null;
    if (store) await remove((await listCopies(this.userId, this.sessionId)).filter(({ part }) => part === epoch));
    return kept;
  }

  /** Removes everything of this session that this person has on the device. */
  async forget(): Promise<void> {
    this.#stop();
    await remove(await listCopies(this.userId, this.sessionId));
  }

  close(): void {
    this.#stop();
    this.#loggedOut.close();
  }

  #stop(): void {
    this.#isOver = true;
    this.isFailing = true;
    void this.#store?.destroy();
    this.#store = null;
  }
}

/** Puts a text on the device, to be offered again by later pages. Null where the browser keeps nothing. */
export async function keepText(userId: string, sessionId: string, path: string, text: string): Promise<CopyName | null> {
  const doc = new Y.Doc();
  doc.getMap("files").set(MAIN, path);
  doc.getText(MAIN).insert(0, text);
  const kept = await keepApart(doc, userId, sessionId, 1, "deleted");
  doc.destroy();
  return kept;
}

/** Returns null where the browser keeps nothing: then the caller offers the text at once. */
async function keepApart(doc: Y.Doc, userId: string, sessionId: string, count: number, reason: string): Promise<CopyName | null> {
  const random = (): string => Math.random().toString(36).slice(2);
  const part = `apart-${Date.now().toString(36)}-${random()}`;
  const name = nameOf(userId, sessionId, part);
  try {
    (await inTime(open(name))).close();
    const apart = new IndexeddbPersistence(name, doc);
    await inTime(apart.whenSynced);
    await Promise.all([apart.set(`${UNSAVED}${random()}`, count), apart.set(REASON, reason)]);
    await apart.destroy();
    return { name, sessionId, part };
  } catch {
    return null;
  }
}

/** Texts that an earlier page left and that belong to no document which can still be opened. `epoch` is null for a
 * reader, whose changes nobody would take. */
export async function leftovers(userId: string, sessionId: string, epoch: string | null): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const name of await listCopies(userId, sessionId)) {
    if (name.part === epoch) continue;
    const read = await readLeftover(name).catch(() => null);
    if (read && read.count > 0) found.push(read);
    else await remove([name]);
  }
  return found;
}

async function readLeftover(name: CopyName): Promise<Leftover> {
  const doc = new Y.Doc();
  const db = await inTime(open(name.name));
  try {
    const [updates, notes] = idb.transact(db, [UPDATES, NOTES], "readonly") as [IDBObjectStore, IDBObjectStore];
    const [stored, reason] = await Promise.all([idb.getAll(updates), idb.get(notes, REASON)]);
    for (const update of stored as Uint8Array[]) Y.applyUpdate(doc, update);
    return { name, path: listedFiles(doc)[0]?.path ?? MAIN, text: wholeText(doc), count: await countUnsaved(db), reason: String(reason ?? "epoch") };
  } finally {
    db.close();
    doc.destroy();
  }
}

function inTime<T>(work: Promise<T>): Promise<T> {
  return Promise.race([work, new Promise<never>((_, reject) => setTimeout(() => reject(new Error("too slow")), OPEN_MS))]);
}
