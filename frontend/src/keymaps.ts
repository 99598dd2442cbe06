// The keys of other editors, each loaded when somebody's profile asks for it. Their undo is ours: one's own edits only.
import type { StateCommand, Extension } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import { yUndoManagerKeymap } from "y-codemirror.next";

const undo = yUndoManagerKeymap[0]?.run as unknown as StateCommand;
const redo = yUndoManagerKeymap[1]?.run as unknown as StateCommand;

export async function keymapNamed(name: string): Promise<Extension> {
  if (name === "vim") {
    const { Vim, vim } = await import("@replit/codemirror-vim");
    const times = (command: StateCommand) => (cm: { cm6: EditorView }, args: { repeat: number }) => {
      for (let left = args.repeat; left > 0; left -= 1) command(cm.cm6);
    };
    Vim.defineAction("undo", times(undo) as Parameters<typeof Vim.defineAction>[1]);
    Vim.defineAction("redo", times(redo) as Parameters<typeof Vim.defineAction>[1]);
    return vim({ status: true });
  }
  if (name === "emacs") {
    const { EmacsHandler, emacs } = await import("@replit/codemirror-emacs");
    EmacsHandler.bindKey("C-/|C-x u|S-C--|C-z", (view: EditorView) => undo(view));
    return emacs();
  }
  return [];
}
