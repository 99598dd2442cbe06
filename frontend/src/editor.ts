// The text editor: CodeMirror bound to the shared text. Undo takes back one's own edits only.
import { defaultKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  crosshairCursor, drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter,
  highlightSpecialChars, keymap, lineNumbers, rectangularSelection,
} from "@codemirror/view";
import { yCollab } from "y-codemirror.next";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { type CarriedSteps, carryOver } from "./carried";
import { remoteCarets } from "./carets";
import { wholeCharacters } from "./characters";
import { composition } from "./composition";
import { fitting } from "./fits";
import { keymapNamed } from "./keymaps";
import { indentation, unitWords } from "./indentation";
import { languageSupport, usualUnit } from "../../languages/editor";
import { colours, look } from "./look";
import { goTo, placeIn, type Places } from "./places";
import { ownUndo, UNDO_STEP_MS } from "./undo";

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
  places: Places;
  /** Keeps what others write out of the text for a while, or lets it in again. */
  hold(isHeld: boolean): void;
  /** How large the text of a file may be, as far as it is known. */
  mostBytes(): number;
  /** Says why an edit was not made. */
  refuse(words: string): void;
  onCaret(line: number, column: number): void;
  /** How the text around the caret is indented, in words. */
  onIndent(words: string): void;
}

export class Editor {
  readonly view: EditorView;
  readonly #language = new Compartment();
  readonly #editable = new Compartment();
  readonly #keys = new Compartment();
  readonly #helping = new Compartment();
  readonly #indentation = new Compartment();
  readonly #undo = new Map<Y.Text, Y.UndoManager>();
  #languageKey = "";
  #support: Extension = [];
  #indentUnit: Extension = [];
  #keymap: Extension = [];
  #assistance: Extension = [];
  #isReadOnly = true;
  /** Whether the person has been in the shown text: until it is loaded it is empty, and there is no place to remember. */
  #isThere = false;
  /** The text that is shown; null while that of a deleted file is. */
  #text: Y.Text | null;

  constructor(private readonly options: EditorOptions) {
    this.#text = options.text;
    this.view = new EditorView({ parent: options.parent, state: this.#stateOf(options.text, options.label) });
    void this.#loadKeymap(options.settings.keymap ?? "default");
    void this.#loadAssistance();
  }

  /** The text on the screen, even if its file was deleted. */
  get content(): string {
    return this.view.state.doc.toString();
  }

  /** Shows another text in the place of this one. Each keeps its own undo and its place. */
  show(text: Y.Text, label: string): void {
    if (text === this.#text) return;
    this.keepPlace();
    const { hasFocus } = this.view;
    this.#text = text;
    this.view.setState(this.#stateOf(text, label));
    this.goBack();
    if (hasFocus) this.view.focus();
  }

  /** Shows a text that is in no file any more, for reading. */
  showGone(content: string, label: string): void {
    const isShown = this.content === content;
    const { scrollTop } = this.view.scrollDOM;
    const { selection } = this.view.state;
    this.keepPlace();
    this.#text = null;
    this.options.awareness.setLocalStateField("cursor", null);
    this.view.setState(this.#state(content, label, []));
    if (!isShown) return;
    this.view.dispatch({ selection });
    this.view.scrollDOM.scrollTop = scrollTop;
  }

  /** Remembers where the person is in the shown file. */
  keepPlace(): void {
    if (this.#text && this.#isThere) this.options.places.set(nameOf(this.#text), placeIn(this.view, this.#text));
  }

  /** Goes to where the person was in the shown file. */
  goBack(): void {
    this.#isThere = true;
    const place = this.#text && this.options.places.get(nameOf(this.#text));
    if (place && this.#text) goTo(this.view, this.#text, place);
  }

  /** What can be undone and done again in each text, for an editor that takes this one's place. */
  get steps(): Map<string, CarriedSteps> {
    return new Map([...this.#undo].map(([text, { undoStack, redoStack }]) => [nameOf(text), { undo: undoStack, redo: redoStack }]));
  }

  carryOver(steps: Map<string, CarriedSteps>, doc: Y.Doc): void {
    for (const [name, carried] of steps) carryOver(carried, this.#managerOf(doc.getText(name)));
  }

  #managerOf(text: Y.Text): Y.UndoManager {
    let manager = this.#undo.get(text);
    if (!manager) {
      standInForNonText(text);
      manager = new Y.UndoManager(text, { captureTimeout: UNDO_STEP_MS });
      this.#undo.set(text, manager);
    }
    return manager;
  }

  #stateOf(text: Y.Text, label: string): EditorState {
    const undoManager = this.#managerOf(text);
    return this.#state(plainText(text), label, [
      ownUndo(undoManager),
      composition(undoManager, this.options.hold),
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
        fitting(options.mostBytes, options.refuse),
        wholeCharacters(),
        EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/g, "\n")),
        lineNumbers(), foldGutter(), highlightActiveLineGutter(), highlightSpecialChars(), drawSelection(), dropCursor(),
        EditorState.allowMultipleSelections.of(true),
        this.#helping.of(this.#assistance),
        indentOnInput(), bracketMatching(), rectangularSelection(), crosshairCursor(), highlightActiveLine(),
        syntaxHighlighting(colours), look,
        // Esc, then Tab within two seconds, leaves the editor: CodeMirror's own rule.
        keymap.of([
          ...foldKeymap,
          // Mod-Enter is Run, on the whole page.
          ...defaultKeymap.filter((binding) => binding.key !== "Mod-Enter"),
          indentWithTab,
        ]),
        shared,
        this.#language.of(this.#support),
        this.#indentation.of(this.#indentUnit),
        this.#editable.of(readOnly(this.#isReadOnly || !this.#text)),
        EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": "editor-help" }),
        EditorView.updateListener.of((update) => {
          const indent = unitWords(update.state);
          if (indent !== unitWords(update.startState)) options.onIndent(indent);
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

  async #loadAssistance(): Promise<void> {
    this.#assistance = await import("./assistance").then(({ assistance }) => assistance, () => []);
    this.view.dispatch({ effects: this.#helping.reconfigure(this.#assistance) });
  }

  destroy(): void {
    this.view.destroy();
  }

  /** `path` is that of the shown file: some are indented in one way only. */
  async setLanguage(key: string, path: string): Promise<void> {
    this.#languageKey = key;
    const needsTabs = /(^|\/)(GNU)?[Mm]akefile$|\.mk$/.test(path);
    this.#indentUnit = indentation(needsTabs ? "\t" : usualUnit(key), needsTabs);
    this.view.dispatch({ effects: this.#indentation.reconfigure(this.#indentUnit) });
    this.options.onIndent(unitWords(this.view.state));
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

const nameOf = (text: Y.Text): string => Y.findRootTypeKey(text as unknown as Y.AbstractType<unknown>);

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
    // No keyboard comes up on a phone where there is nothing to write.
    EditorView.contentAttributes.of({ "aria-readonly": String(isReadOnly), ...(isReadOnly ? { inputmode: "none" } : {}) }),
  ];
}
