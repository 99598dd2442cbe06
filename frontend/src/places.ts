// Where a person was in each file: caret, selection and first visible line, relative to the text itself, so that what
// others write meanwhile moves them along. Kept for files that are not shown, for the editor that comes after a refused
// change, and over a reload.
import { EditorSelection } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import * as Y from "yjs";

/** A position next to the character before it, and where it was counted from the start, for a text of
 * another history. */
interface Spot {
  relative: unknown;
  index: number;
}

export interface Place {
  anchor: Spot;
  head: Spot;
  /** The start of the first visible line, and how far it is scrolled out of sight in pixels. */
  top: Spot;
  above: number;
}

export function spotAt(text: Y.Text, index: number): Spot {
  return { relative: Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index, -1)), index };
}

export function indexOf(text: Y.Text, spot: Spot): number {
  const { doc } = text;
  try {
    const found = doc && Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(spot.relative), doc);
    if (found?.type === text) return found.index;
  } catch {
    // Stored by another version of this page, or by somebody else.
  }
  return Math.min(Number(spot.index) || 0, text.length);
}

export function placeIn(view: EditorView, text: Y.Text): Place {
  const { anchor, head } = view.state.selection.main;
  const height = view.scrollDOM.getBoundingClientRect().top - view.documentTop;
  const line = view.lineBlockAtHeight(height);
  return {
    anchor: spotAt(text, anchor),
    head: spotAt(text, head),
    top: spotAt(text, line.from),
    above: Math.round(height - line.top),
  };
}

export function goTo(view: EditorView, text: Y.Text, place: Place): void {
  const within = (spot: Spot): number => Math.min(indexOf(text, spot), view.state.doc.length);
  const top = view.state.doc.lineAt(within(place.top)).from;
  view.dispatch({
    selection: EditorSelection.range(within(place.anchor), within(place.head)),
    effects: EditorView.scrollIntoView(top, { y: "start", yMargin: -place.above }),
  });
}

/** The places in the files of one session, by file, kept by this tab over a reload; and which file was shown. */
export class Places {
  shown = "";
  readonly #byFile = new Map<string, Place>();

  constructor(private readonly key: string) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(key) ?? "") as { shown: string; places: [string, Place][] };
      this.#byFile = new Map(kept.places);
      this.shown = kept.shown;
    } catch {
      // Nothing is kept, or the browser keeps nothing.
    }
  }

  get(file: string): Place | undefined {
    return this.#byFile.get(file);
  }

  set(file: string, place: Place): void {
    this.#byFile.set(file, place);
  }

  keep(): void {
    try {
      sessionStorage.setItem(this.key, JSON.stringify({ shown: this.shown, places: [...this.#byFile] }));
    } catch {
      // A browser that keeps nothing shows the first file again.
    }
  }
}
