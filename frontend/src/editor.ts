// The text editor: CodeMirror bound to the shared text. Undo takes back one's own edits only.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  crosshairCursor, drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter,
  highlightSpecialChars, keymap, lineNumbers, rectangularSelection,
} from "@codemirror/view";
import { yCollab } from "y-codemirror.next";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { remoteCarets } from "./carets";
import { wholeCharacters } from "./characters";
import { keymapNamed } from "./keymaps";
import { languageSupport } from "./languages";
import { colours, look } from "./look";
import { ownUndo } from "./undo";

/** What a person's profile says about the editor; what is absent is as the editor has it by itself. */
export interface EditorSettings {
  keymap?: string;
  font_size?: number;
  tab_size?: number;
  wrap?: boolean;
}

export interface EditorOptions {
  parent: HTMLElement;
  text: Y.Text;
  awareness: Awareness;
  nonce: string;
  label: string;
  settings: EditorSettings;
  onCaret(line: number, column: number): void;
}

export interface Place {
  head: number;
  top: number;
  hasFocus: boolean;
}

export class Editor {
  readonly view: EditorView;
  readonly #language = new Compartment();
  readonly #editable = new Compartment();
  readonly #keys = new Compartment();
  readonly #undo = new Map<Y.Text, Y.UndoManager>();
  readonly #places = new Map<Y.Text, Place>();
  #languageKey = "";
  #support: Extension = [];
  #keymap: Extension = [];
  #isReadOnly = true;
  /** The text that is shown; null while that of a deleted file is. */
  #text: Y.Text | null;

  constructor(private readonly options: EditorOptions) {
    this.#text = options.text;
    this.view = new EditorView({ parent: options.parent, state: this.#stateOf(options.text, options.label) });
    void this.#loadKeymap(options.settings.keymap ?? "default");
  }

  /** What is on the screen, also when that is the text of a deleted file. */
  get content(): string {
    return this.view.state.doc.toString();
  }

  /** Shows another text in the place of this one. Each keeps its own undo and its place. */
  show(text: Y.Text, label: string): void {
    if (text === this.#text) return;
    if (this.#text) this.#places.set(this.#text, this.place);
    const { hasFocus } = this.view;
    this.#text = text;
    this.view.setState(this.#stateOf(text, label));
    const place = this.#places.get(text);
    if (place) this.goBack({ ...place, hasFocus });
    else if (hasFocus) this.view.focus();
  }

  /** Shows a text that is in no file any more, for reading. */
  showGone(content: string, label: string): void {
    const place = this.content === content ? this.place : null;
    if (this.#text) this.#places.set(this.#text, this.place);
    this.#text = null;
    this.options.awareness.setLocalStateField("cursor", null);
    this.view.setState(this.#state(content, label, []));
    if (place) this.goBack(place);
  }

  #stateOf(text: Y.Text, label: string): EditorState {
    let undoManager = this.#undo.get(text);
    if (!undoManager) {
      standInForNonText(text);
      undoManager = new Y.UndoManager(text, { captureTimeout: 400 });
      this.#undo.set(text, undoManager);
    }
    return this.#state(plainText(text), label, [
      ownUndo(undoManager),
      yCollab(text, null, { undoManager }) as Extension,
      remoteCarets(text, this.options.awareness),
    ]);
  }

  #state(content: string, label: string, shared: Extension): EditorState {
    const { options } = this;
    return EditorState.create({
      doc: content,
      extensions: [
        // Before every other binding: a keymap of another editor decides first.
        this.#keys.of(this.#keymap),
        settled(options.settings),
        EditorView.cspNonce.of(options.nonce),
        // Only "\n" ends a line: with the default, a stray "\r\n" from another client would shift every position.
        EditorState.lineSeparator.of("\n"),
        wholeCharacters(),
        EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/g, "\n")),
        lineNumbers(), foldGutter(), highlightActiveLineGutter(), highlightSpecialChars(), drawSelection(), dropCursor(),
        EditorState.allowMultipleSelections.of(true),
        indentOnInput(), bracketMatching(), closeBrackets(), autocompletion({ activateOnTypingDelay: 200 }),
        rectangularSelection(), crosshairCursor(), highlightActiveLine(), highlightSelectionMatches(),
        syntaxHighlighting(colours), look,
        // Esc, then Tab within two seconds, leaves the editor: CodeMirror's own rule.
        keymap.of([
          ...closeBracketsKeymap, ...searchKeymap, ...foldKeymap, ...completionKeymap,
          // Mod-Enter is Run, on the whole page.
          ...defaultKeymap.filter((binding) => binding.key !== "Mod-Enter"),
          indentWithTab,
        ]),
        shared,
        this.#language.of(this.#support),
        this.#editable.of(readOnly(this.#isReadOnly || !this.#text)),
        EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": "editor-help" }),
        EditorView.updateListener.of((update) => {
          if (!update.selectionSet && !update.docChanged) return;
          const { head } = update.state.selection.main;
          const line = update.state.doc.lineAt(head);
          options.onCaret(line.number, head - line.from + 1);
        }),
      ],
    });
  }

  async #loadKeymap(name: string): Promise<void> {
    this.#keymap = await keymapNamed(name).catch(() => []);
    this.view.dispatch({ effects: this.#keys.reconfigure(this.#keymap) });
  }

  /** Where the person was, for an editor that takes this one's place. */
  get place(): Place {
    return { head: this.view.state.selection.main.head, top: this.view.scrollDOM.scrollTop, hasFocus: this.view.hasFocus };
  }

  goBack(place: Place): void {
    const at = Math.min(place.head, this.view.state.doc.length);
    this.view.dispatch({ selection: { anchor: at } });
    this.view.scrollDOM.scrollTop = place.top;
    if (place.hasFocus) this.view.focus();
  }

  destroy(): void {
    this.view.destroy();
  }

  async setLanguage(key: string): Promise<void> {
    this.#languageKey = key;
    const support = await languageSupport(key).catch(() => []);
    if (this.#languageKey !== key) return;
    this.#support = support;
    this.view.dispatch({ effects: this.#language.reconfigure(support) });
  }

  setReadOnly(isReadOnly: boolean): void {
    this.#isReadOnly = isReadOnly;
    this.view.dispatch({ effects: this.#editable.reconfigure(readOnly(isReadOnly || !this.#text)) });
  }

  /** Puts the caret on a line because the person asked for it. */
  goTo(line: number, column = 1): void {
    const { doc } = this.view.state;
    const target = doc.line(Math.max(1, Math.min(line, doc.lines)));
    this.goToPosition(Math.min(target.from + column - 1, target.to));
    this.view.focus();
  }

  goToPosition(position: number): void {
    const at = Math.min(position, this.view.state.doc.length);
    this.view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
  }

  /** Scrolls to a place without touching the caret. */
  reveal(position: number): void {
    const at = Math.min(position, this.view.state.doc.length);
    this.view.dispatch({ effects: EditorView.scrollIntoView(at, { y: "center" }) });
  }
}

/** Stands for each thing in a shared text that is not text, and takes its one position. The server lets none in. */
const OBJECT = "\ufffc";

/** The shared text with every position that Yjs counts, so that what is typed lands where it is seen. */
export function plainText(text: Y.Text): string {
  return (text.toDelta() as { insert: unknown }[]).map(({ insert }) => (typeof insert === "string" ? insert : OBJECT)).join("");
}

/** Lets the editor, which is bound after this, see strings only: Yjs hands the same delta to every observer. */
export function standInForNonText(text: Y.Text): void {
  text.observe((event) => {
    for (const change of event.delta) {
      if (change.insert !== undefined && typeof change.insert !== "string") change.insert = OBJECT;
    }
  });
}

function settled({ font_size, tab_size, wrap }: EditorSettings): Extension {
  return [
    font_size ? EditorView.theme({ "&": { fontSize: `${font_size}px` }, ".cm-scroller": { lineHeight: "1.57" } }) : [],
    tab_size ? EditorState.tabSize.of(tab_size) : [],
    wrap ? EditorView.lineWrapping : [],
  ];
}

function readOnly(isReadOnly: boolean): Extension {
  // The content stays focusable, so that it can be read and copied by keyboard.
  return [
    EditorState.readOnly.of(isReadOnly),
    EditorView.contentAttributes.of({ "aria-readonly": String(isReadOnly) }),
  ];
}
