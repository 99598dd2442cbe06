// Undo and redo of one's own edits, by Yjs: as commands, as keys, and for the keymaps of other editors.
import type { Extension, StateCommand } from "@codemirror/state";
import { Facet, Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import type * as Y from "yjs";

/** Edits that follow one another faster are one step. */
export const UNDO_STEP_MS = 400;

const managerOf = Facet.define<Y.UndoManager, Y.UndoManager | undefined>({ combine: ([manager]) => manager });

/** What may not be edited may not be undone either: a reader's change would be refused. */
export const undo: StateCommand = ({ state }) => {
  if (!state.readOnly) state.facet(managerOf)?.undo();
  return true;
};

export const redo: StateCommand = ({ state }) => {
  if (!state.readOnly) state.facet(managerOf)?.redo();
  return true;
};

const keys = keymap.of([
  { key: "Mod-z", run: undo, preventDefault: true },
  { key: "Mod-y", mac: "Mod-Shift-z", run: redo, preventDefault: true },
  { key: "Mod-Shift-z", run: redo, preventDefault: true },
]);

// The browser's own menu. Runs before the binding's handler, which does not check whether the text may be edited.
const menu = Prec.high(
  EditorView.domEventHandlers({
    beforeinput({ inputType }, view) {
      if (inputType === "historyUndo") return undo(view);
      return inputType === "historyRedo" && redo(view);
    },
  }),
);

export function ownUndo(manager: Y.UndoManager): Extension {
  return [managerOf.of(manager), keys, menu];
}
