// Carries what can be undone over to the document that takes the place of one whose last change was refused: the blocks
// have the same ids there, and the old document has the texts of deleted ones, which the server has let go.
import * as Y from "yjs";
import { encode } from "./split";

type Steps = Y.UndoManager["undoStack"];
type Ids = Steps[number]["insertions"];

export interface CarriedSteps {
  undo: Steps;
  redo: Steps;
}

/** Loads what the server has of a document, `served`, with the deleted texts that `old` has of it. */
export function loadWith(doc: Y.Doc, old: Uint8Array, served: Uint8Array, origin: unknown): void {
  const state = Y.decodeStateVector(Y.encodeStateVectorFromUpdate(served));
  const structs = Y.decodeUpdate(old).structs.filter(({ id, length }) => id.clock + length <= (state.get(id.client) ?? 0));
  doc.gc = false;
  doc.transact(() => {
    Y.applyUpdate(doc, encode({ structs, ranges: [] }), origin);
    Y.applyUpdate(doc, served, origin);
  }, origin);
  doc.gc = true;
}

/** Gives the steps to a manager of the new document; of those that were refused nothing is left. */
export function carryOver({ undo, redo }: CarriedSteps, manager: Y.UndoManager): void {
  const fitting = (steps: Steps): Steps =>
    steps.flatMap((step) => {
      const insertions = present(step.insertions, manager.doc, () => true);
      const deletions = present(step.deletions, manager.doc, (deleted) => deleted);
      // Its places belong to the old editor.
      step.meta.clear();
      return insertions.clients.size + deletions.clients.size > 0 ? [Object.assign(step, { insertions, deletions })] : [];
    });
  manager.undoStack = fitting(undo);
  manager.redoStack = fitting(redo);
}

/** Those of the ids that the document has and that are as asked. */
function present(ids: Ids, doc: Y.Doc, isAsked: (isDeleted: boolean) => boolean): Ids {
  const found = Y.createDeleteSet();
  for (const [client, ranges] of ids.clients) {
    const structs = doc.store.clients.get(client) ?? [];
    const kept: { clock: number; len: number }[] = [];
    for (const { clock, len } of ranges) {
      const first = clock < Y.getState(doc.store, client) ? Y.findIndexSS(structs, clock) : structs.length;
      for (const struct of structs.slice(first)) {
        if (struct.id.clock >= clock + len) break;
        const from = Math.max(clock, struct.id.clock);
        if (isAsked(struct.deleted)) kept.push({ clock: from, len: Math.min(clock + len, struct.id.clock + struct.length) - from });
      }
    }
    if (kept.length > 0) found.clients.set(client, kept);
  }
  return found;
}
