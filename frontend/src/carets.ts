// Other people's carets and selections in the editor. Colours come from classes by hue, so that no style attribute
// is needed under the page's content security policy.
import { Annotation, RangeSet, type Range, type SelectionRange } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, WidgetType, type DecorationSet, type ViewUpdate } from "@codemirror/view";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";

export interface AwarenessUser {
  id: string;
  name: string;
  hue: number;
  permission?: string;
  is_bot?: boolean;
}

interface Ends {
  anchor: unknown;
  head: unknown;
}

interface AwarenessState {
  user?: AwarenessUser;
  /** The main selection, as every client of Yjs tells it, and with it the others of a person who has several. */
  cursor?: (Ends & { others?: Ends[] }) | null;
}

/** At most this many other selections per person: a state has to stay small. */
const MOST_OTHERS = 12;

/** Marks a transaction that redraws the carets of others. */
const caretsMoved = Annotation.define<boolean>();

class CaretWidget extends WidgetType {
  constructor(
    readonly user: AwarenessUser,
    readonly moves: number,
    readonly onFirstLine: boolean,
  ) {
    super();
  }

  // A new move makes a new element, which starts the label's two seconds again.
  override eq(other: CaretWidget): boolean {
    return (
      other.moves === this.moves &&
      other.user.name === this.user.name &&
      other.user.hue === this.user.hue &&
      other.onFirstLine === this.onFirstLine
    );
  }

  override toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = `caret hue-${this.user.hue}${this.onFirstLine ? " caret-below" : ""}`;
    caret.setAttribute("aria-hidden", "true");
    const flag = document.createElement("span");
    flag.className = "caret-flag";
    flag.textContent = this.user.is_bot ? `${this.user.name} · bot` : this.user.name;
    // Word joiners keep the caret from allowing a line break where the text has none.
    caret.append("\u2060", flag, "\u2060");
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** A further caret of somebody who has several: only the main one has the name. */
class OtherCaret extends WidgetType {
  constructor(readonly hue: number) {
    super();
  }

  override eq(other: OtherCaret): boolean {
    return other.hue === this.hue;
  }

  override toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = `caret hue-${this.hue}`;
    caret.setAttribute("aria-hidden", "true");
    caret.append("\u2060");
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** Where a person's caret is, or null while they have none in this text. */
export function caretPosition({ cursor }: AwarenessState, text: Y.Text): { anchor: number; head: number } | null {
  return cursor ? positionOf(cursor, text) : null;
}

/** Where a person's other selections in this text are. */
export function otherPositions({ cursor }: AwarenessState, text: Y.Text): { anchor: number; head: number }[] {
  const others = Array.isArray(cursor?.others) ? cursor.others.slice(0, MOST_OTHERS) : [];
  return others.map((ends) => positionOf(ends, text)).filter((found) => found !== null);
}

function positionOf(ends: Ends | null, text: Y.Text): { anchor: number; head: number } | null {
  const { doc } = text;
  if (!ends?.anchor || !ends.head || !doc) return null;
  try {
    const [anchor, head] = [ends.anchor, ends.head].map((json) =>
      Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(json), doc),
    );
    if (!anchor || !head || anchor.type !== text || head.type !== text) return null;
    return { anchor: anchor.index, head: head.index };
  } catch {
    // Yjs throws on invalid positions. One person's cursor must not hide everybody else's.
    return null;
  }
}

export function remoteCarets(text: Y.Text, awareness: Awareness) {
  return ViewPlugin.fromClass(
    class {
      decorations: DecorationSet = RangeSet.empty;
      readonly #moves = new Map<number, { at: string; count: number }>();
      readonly #changed = ({ added, updated, removed }: Record<"added" | "updated" | "removed", number[]>) => {
        if ([...added, ...updated, ...removed].some((client) => client !== awareness.clientID)) {
          this.view.dispatch({ annotations: caretsMoved.of(true) });
        }
      };

      constructor(readonly view: EditorView) {
        awareness.on("change", this.#changed);
        this.decorations = this.#decorate(view);
      }

      update(update: ViewUpdate): void {
        if (update.selectionSet || update.focusChanged || update.docChanged) this.#tellOwn(update.view);
        if (update.docChanged || update.transactions.some((transaction) => transaction.annotation(caretsMoved))) {
          this.decorations = this.#decorate(update.view);
        }
      }

      destroy(): void {
        awareness.off("change", this.#changed);
      }

      #tellOwn(view: EditorView): void {
        if (!view.hasFocus || awareness.getLocalState() === null) return;
        const { main, ranges } = view.state.selection;
        // A remote change is in the Y.Text before it is in the view, a local one after: wait until both agree.
        queueMicrotask(() => {
          const told = (index: number): unknown => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index));
          const endsOf = ({ anchor, head }: SelectionRange): Ends => ({ anchor: told(anchor), head: told(head) });
          const others = ranges.filter((range) => range !== main).slice(0, MOST_OTHERS).map(endsOf);
          const cursor = { ...endsOf(main), ...(others.length > 0 ? { others } : {}) };
          const known = awareness.getLocalState()?.cursor;
          if (JSON.stringify(known) !== JSON.stringify(cursor)) awareness.setLocalStateField("cursor", cursor);
        });
      }

      #decorate(view: EditorView): DecorationSet {
        const ranges: Range<Decoration>[] = [];
        const { doc } = view.state;
        for (const [client, state] of awareness.getStates() as Map<number, AwarenessState>) {
          const caret = client === awareness.clientID || !state.user ? null : caretPosition(state, text);
          if (!caret || !state.user) continue;
          const { user } = state;
          const head = Math.min(caret.head, doc.length);
          const anchor = Math.min(caret.anchor, doc.length);
          for (const { anchor: one, head: other } of [caret, ...otherPositions(state, text)]) {
            const [from, to] = [Math.min(one, other, doc.length), Math.min(Math.max(one, other), doc.length)];
            if (from !== to) ranges.push(Decoration.mark({ class: `remote-selection hue-${user.hue}` }).range(from, to));
            if (one === caret.anchor && other === caret.head) continue;
            ranges.push(Decoration.widget({ widget: new OtherCaret(user.hue), side: other > one ? -1 : 1 }).range(Math.min(other, doc.length)));
          }
          const at = JSON.stringify(state.cursor);
          const moved = this.#moves.get(client);
          const move = moved?.at === at ? moved : { at, count: (moved?.count ?? 0) + 1 };
          this.#moves.set(client, move);
          const widget = new CaretWidget(user, move.count, doc.lineAt(head).number === 1);
          // The local caret is drawn outside the other's selection.
          ranges.push(Decoration.widget({ widget, side: head > anchor ? -1 : 1 }).range(head));
        }
        return Decoration.set(ranges, true);
      }
    },
    { decorations: (plugin) => plugin.decorations },
  );
}
