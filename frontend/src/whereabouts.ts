// In which file and line each person is, by what their cursors say.
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import type { AwarenessUser } from "./carets";
import type { FileEntry } from "./texts";

export interface Whereabouts {
  file: FileEntry;
  index: number;
  line: number;
}

interface AwarenessState {
  user?: AwarenessUser;
  cursor?: { head?: unknown } | null;
}

/** Keyed by the person's id. Somebody with several pages open is where the first of them is. */
export function whereabouts(awareness: Awareness, doc: Y.Doc, files: readonly FileEntry[]): Map<string, Whereabouts> {
  const texts = new Map(files.map((file) => [doc.getText(file.id) as unknown, { file, lines: null as number[] | null }]));
  const found = new Map<string, Whereabouts>();
  for (const { user, cursor } of awareness.getStates().values() as Iterable<AwarenessState>) {
    if (!user || found.has(user.id) || !cursor?.head) continue;
    const place = positionOf(cursor.head, doc);
    const text = place && texts.get(place.type);
    if (!text) continue;
    // A text is read once, however many are in it.
    text.lines ??= lineStarts(place.type.toString());
    found.set(user.id, { file: text.file, index: place.index, line: lineAt(text.lines, place.index) });
  }
  return found;
}

function positionOf(json: unknown, doc: Y.Doc): Y.AbsolutePosition | null {
  try {
    return Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(json), doc);
  } catch {
    // Yjs throws on invalid positions.
    return null;
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) starts.push(end + 1);
  return starts;
}

/** The number of the last line that starts at or before `index`. */
function lineAt(starts: readonly number[], index: number): number {
  let [low, high] = [0, starts.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= index) low = middle;
    else high = middle;
  }
  return low + 1;
}
