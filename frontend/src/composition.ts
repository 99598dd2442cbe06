// An input method composes a word in several stages (Japanese, Korean, accents, phone keyboards). It is one step of its
// own to undo, however long it takes, and until it is done nobody else's change touches the word: the browser would
// leave stages of it behind.
import type { Extension } from "@codemirror/state";
import { EditorView, ViewPlugin } from "@codemirror/view";
import type * as Y from "yjs";
import { UNDO_STEP_MS } from "./undo";

/** CodeMirror reads what was composed from the page a moment after the browser calls it done. */
const READ_MS = 80;

/** `hold` is told when others' changes must wait, and when they may come. */
export function composition(manager: Y.UndoManager, hold: (isHeld: boolean) => void): Extension {
  return ViewPlugin.fromClass(
    class {
      #end = 0;
      readonly #start = (): void => {
        clearTimeout(this.#end);
        manager.stopCapturing();
        manager.captureTimeout = Infinity;
        hold(true);
      };
      readonly #stop = (): void => {
        clearTimeout(this.#end);
        this.#end = window.setTimeout(() => this.#over(), READ_MS);
      };

      constructor(readonly view: EditorView) {
        view.contentDOM.addEventListener("compositionstart", this.#start);
        view.contentDOM.addEventListener("compositionend", this.#stop);
      }

      destroy(): void {
        this.view.contentDOM.removeEventListener("compositionstart", this.#start);
        this.view.contentDOM.removeEventListener("compositionend", this.#stop);
        clearTimeout(this.#end);
        this.#over();
      }

      #over(): void {
        manager.stopCapturing();
        manager.captureTimeout = UNDO_STEP_MS;
        hold(false);
      }
    },
  );
}
