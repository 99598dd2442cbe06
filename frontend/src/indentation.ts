// What one level of indentation is: as the text around the caret has it, so that it is the same for everybody, and by
// the language only where the text says nothing. Enter, Tab and Ctrl+] follow the facet that is set here.
import { indentUnit } from "@codemirror/language";
import type { EditorState, Extension, Text } from "@codemirror/state";

/** How many lines are looked at, above and below. */
const REACH = 400;
const TAB = "\t";

/** The unit at this line: of the nearest indented line, itself and those above first. */
export function unitAt(doc: Text, line: number, fallback: string): string {
  const above = indentsOf(doc, line, -1);
  const found = above.find(Boolean) ?? indentsOf(doc, line + 1, 1).find(Boolean);
  if (found === undefined) return fallback;
  if (found.startsWith(TAB)) return TAB;
  return " ".repeat(widthIn(above.reverse()) ?? widthIn([...above, ...indentsOf(doc, line + 1, 1)]) ?? widthOf(found, fallback));
}

/** The leading white space of the lines that have more, from this one on, up or down. */
function indentsOf(doc: Text, from: number, step: 1 | -1): string[] {
  const found: string[] = [];
  for (let number = from; number >= 1 && number <= doc.lines && Math.abs(number - from) < REACH; number += step) {
    const [, indent] = /^([ \t]*)\S/.exec(doc.line(number).text) ?? [];
    if (indent !== undefined) found.push(indent);
  }
  return found;
}

/** The step by which lines go in most often, if any does. One column is how a comment goes on. */
function widthIn(indents: string[]): number | null {
  const counts = new Map<number, number>();
  let before: number | null = null;
  for (const indent of indents) {
    if (indent.includes(TAB)) continue;
    const step: number = before === null ? 0 : indent.length - before;
    if (step > 1 && step <= 8) counts.set(step, (counts.get(step) ?? 0) + 1);
    before = indent.length;
  }
  const [best] = [...counts].sort(([one, often], [other, rather]) => rather - often || one - other);
  return best?.[0] ?? null;
}

/** For a text without nested lines: its only indent, if that can be one level. */
function widthOf(indent: string, fallback: string): number {
  const usual = fallback === TAB ? 4 : fallback.length;
  return indent.length % usual === 0 || indent.length > 8 ? usual : indent.length;
}

/** In words, for the status line. */
export const unitWords = (state: EditorState): string => {
  const unit = state.facet(indentUnit);
  return unit === TAB ? "Tabs" : `Spaces: ${unit.length}`;
};

/** Indents as the text does. `always`: this kind of file knows one way only. */
export function indentation(unit: string, always: boolean): Extension {
  if (always) return indentUnit.of(unit);
  return indentUnit.compute(["doc", "selection"], ({ doc, selection }) => unitAt(doc, doc.lineAt(selection.main.head).number, unit));
}
