// What helps while one types and looks around: completion, closing brackets, search. Loaded once the editor is there.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import type { Extension } from "@codemirror/state";
import { keymap } from "@codemirror/view";

export const assistance: Extension = [
  closeBrackets(),
  autocompletion({ activateOnTypingDelay: 200 }),
  highlightSelectionMatches(),
  keymap.of([...closeBracketsKeymap, ...searchKeymap, ...completionKeymap]),
];
