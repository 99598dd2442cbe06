// Key bindings of other editors, for people whose profile asks for them. Undo stays ours: it takes back one's own edits
// only.
import {
  cursorDocEnd, cursorDocStart, cursorGroupLeft, cursorGroupRight, deleteGroupBackward, deleteGroupForward, emacsStyleKeymap,
} from "@codemirror/commands";
import type { Extension, StateCommand } from "@codemirror/state";
import { type EditorView, keymap } from "@codemirror/view";
import { redo, undo } from "./undo";

/** What CodeMirror has of Emacs on a Mac, everywhere, and the usual moves by word and to the ends. */
const emacs = keymap.of([
  ...emacsStyleKeymap,
  { key: "Ctrl-/", run: undo },
  { key: "Ctrl-x u", run: undo },
  { key: "Alt-f", run: cursorGroupRight },
  { key: "Alt-b", run: cursorGroupLeft },
  { key: "Alt-d", run: deleteGroupForward },
  { key: "Alt-Backspace", run: deleteGroupBackward },
  { key: "Alt-<", run: cursorDocStart },
  { key: "Alt->", run: cursorDocEnd },
]);

export async function keymapNamed(name: string): Promise<Extension> {
  if (name === "emacs") return emacs;
  if (name !== "vim") return [];
  const { Vim, vim } = await import("@replit/codemirror-vim");
  const times = (command: StateCommand) => (cm: { cm6: EditorView }, args: { repeat: number }) => {
    for (let left = args.repeat; left > 0; left -= 1) command(cm.cm6);
  };
  Vim.defineAction("undo", times(undo) as Parameters<typeof Vim.defineAction>[1]);
  Vim.defineAction("redo", times(redo) as Parameters<typeof Vim.defineAction>[1]);
  const once = (command: StateCommand) => (cm: { cm6: EditorView }) => void command(cm.cm6);
  Vim.defineEx("undo", "u", once(undo) as Parameters<typeof Vim.defineEx>[2]);
  Vim.defineEx("redo", "red", once(redo) as Parameters<typeof Vim.defineEx>[2]);
  return vim({ status: true });
}
