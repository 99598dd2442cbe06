// The document that is open: its connection and its editor, and those that take their place when its history ends.
import type { CarriedSteps } from "./carried";
import { Collab, type CollabEvents } from "./collab";
import { Editor, type EditorOptions } from "./editor";
import type { GoneFile } from "./gone";
import { byId, type Page } from "./page";
import type { Places } from "./places";
import { type FileEntry, MAIN } from "./texts";

/** What carries over from the document before this one. */
interface Earlier {
  document: Uint8Array | null;
  steps: Map<string, CarriedSteps> | null;
  hadFocus: boolean;
  /** The file that was shown, which the new document may not have. */
  shown: (FileEntry & Pick<GoneFile, "text" | "hasRest">) | null;
}

export interface LiveDocumentOptions extends Pick<EditorOptions, "refuse" | "onCaret" | "onIndent"> {
  page: Page;
  places: Places;
  /** What Collab reports, but for what is dealt with here. */
  events: Omit<CollabEvents, "loaded">;
  /** The file that is shown. */
  shown(): FileEntry;
  /** Follows the files of a new document; the one with this id opens again once it is there. */
  watch(document: LiveDocument, shownId: string): void;
  /** The text is here; `shown` is what was on the screen before. */
  loaded(shown: Earlier["shown"]): void;
}

export class LiveDocument {
  collab: Collab;
  editor: Editor;
  /** Whether a full copy of the text is here. */
  isLoaded = false;
  /** How the server, or something in between, closed the last connection. */
  lastClose: number | null = null;

  constructor(private readonly options: LiveDocumentOptions) {
    const nothing: Earlier = { document: null, steps: null, hadFocus: false, shown: null };
    this.collab = this.#makeCollab(options.page.document.epoch, nothing);
    this.editor = this.#makeEditor();
  }

  start(shownId = this.options.places.shown): void {
    this.options.watch(this, shownId);
    void this.collab.connect();
  }

  /** Opens the server's document in the place of this one. `document` is what the server refused some of. */
  reopen(document: Uint8Array | null): void {
    const { isLoaded, editor } = this;
    const earlier: Earlier = {
      document,
      steps: document && editor.steps,
      hadFocus: isLoaded && editor.view.hasFocus,
      shown: isLoaded ? { ...this.options.shown(), text: editor.content, hasRest: false } : null,
    };
    editor.keepPlace();
    editor.destroy();
    this.isLoaded = false;
    // Only the server knows which history it has now.
    this.collab = this.#makeCollab(null, earlier);
    this.editor = this.#makeEditor();
    this.start(earlier.shown?.id);
  }

  keepPlaces(): void {
    if (!this.isLoaded) return;
    this.editor.keepPlace();
    this.options.places.shown = this.options.shown().id;
    this.options.places.keep();
  }

  #makeCollab(epoch: string | null, earlier: Earlier): Collab {
    const { session, user } = this.options.page;
    const collab = new Collab(
      { sessionId: session.id, userId: user.id, permission: session.permission, epoch, earlier: earlier.document },
      { ...this.options.events, loaded: () => this.#loaded(earlier) },
    );
    collab.provider.on("connection-close", (event) => {
      this.lastClose = event?.code ?? null;
    });
    return collab;
  }

  #loaded({ steps, shown, hadFocus }: Earlier): void {
    this.isLoaded = true;
    if (steps) this.editor.carryOver(steps, this.collab.doc);
    byId("editor-pane").dataset.loaded = "yes";
    this.options.loaded(shown);
    if (hadFocus) this.editor.view.focus();
  }

  #makeEditor(): Editor {
    const { page, places, refuse, onCaret, onIndent } = this.options;
    const { collab } = this;
    return new Editor({
      parent: byId("editor"),
      text: collab.text,
      awareness: collab.awareness,
      nonce: byId<HTMLScriptElement>("editor-script").nonce,
      label: labelOf({ id: MAIN, path: MAIN }),
      settings: page.editor_settings,
      places,
      hold: (isHeld) => collab.hold(isHeld),
      mostBytes: () => collab.textBytes,
      refuse,
      onCaret,
      onIndent,
    });
  }
}

/** The accessible name of the editor. */
export const labelOf = ({ id, path }: FileEntry): string => (id === MAIN ? "Shared text" : `Shared text of ${path}`);
