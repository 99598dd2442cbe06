// The editor page: makes its parts and joins them to one another.
import { call, reasonOf } from "./api";
import { adopt, type SessionRow } from "./changes";
import { Chat } from "./chat";
import type { CollabEvents } from "./collab";
import { Endings, hasLostAccess, mayStillRead } from "./endings";
import { Files } from "./files";
import { GoneFiles } from "./gone";
import { LanguageMenu } from "./language-menu";
import { labelOf, LiveDocument } from "./live-document";
import { announce, download, downloadAction, problem } from "./notices";
import { byId, canEdit, canManage, type Page, type Permission } from "./page";
import { type Panes, setUpPanes } from "./panes";
import { People } from "./people";
import { Places } from "./places";
import { setUpPrinting } from "./printing";
import { Reading } from "./reading";
import { Room, showHere } from "./room";
import { RunButton } from "./run-button";
import { Runs } from "./runs";
import { type SaveState, SaveStateLine } from "./save-state";
import { ShareButton } from "./share-button";
import { setUpMenu, setUpShortcuts } from "./shortcuts";
import { type FileEntry, MAIN, wholeText } from "./texts";
import { TitleField } from "./title";
import { Unconnected } from "./unconnected";
import { whereabouts } from "./whereabouts";

/** How long Run waits for one's own edits to be committed before it sends the text along. */
const SETTLE_MS = 2_000;

export class SessionPage {
  readonly #language: LanguageMenu;
  readonly #reading: Reading;
  readonly #panes: Panes;
  readonly #chat: Chat;
  readonly #people: People;
  readonly #gone: GoneFiles;
  readonly #files: Files;
  readonly #runs: Runs;
  readonly #run: RunButton;
  readonly #share: ShareButton;
  readonly #title: TitleField;
  readonly #room: Room;
  readonly #live: LiveDocument;
  readonly #endings: Endings;
  readonly #unconnected: Unconnected;
  readonly #state: SaveStateLine;

  /** The parts call one another only once `start` was called. */
  constructor(private readonly page: Page) {
    this.#language = this.#makeLanguageMenu();
    this.#reading = new Reading(page.session.id, problem);
    this.#panes = setUpPanes((view) => view === "chat" && this.#chat.shown());
    this.#chat = this.#makeChat();
    this.#people = this.#makePeople();
    this.#gone = this.#makeGoneFiles();
    this.#files = this.#makeFiles();
    this.#runs = this.#makeRuns();
    this.#run = this.#makeRunButton();
    this.#share = new ShareButton(page);
    this.#title = new TitleField(page.session, () => this.#room.namedBy, () => this.#showSession());
    this.#room = new Room({
      session: page.session,
      chat: this.#chat,
      people: this.#people,
      runs: this.#runs,
      gone: this.#gone,
      share: this.#share,
      languageName: (key) => this.#language.nameOf(key),
      changed: () => this.#showSession(),
    });
    this.#live = this.#makeDocument();
    this.#endings = this.#makeEndings();
    this.#unconnected = this.#makeUnconnected();
    this.#state = new SaveStateLine({
      notInAFile: () => this.#notInAFile(),
      connectingWords: () => this.#unconnected.words,
      download: downloadAction(() => this.#wholeText(), () => this.#language.entryName),
      changed: (state) => this.#stateChanged(state),
    });
  }

  start(): void {
    this.#setUpPage();
    this.#live.start();
    this.#unconnected.watch();
    this.#showSession();
    this.#setPermission(this.page.session.permission);
    void this.#endings.offerLeftovers().catch(() => undefined);
    void this.#chat.load().catch(() => undefined);
    void this.#language.read().catch(() => undefined);
    void this.#runs.load().catch(() => problem("The earlier runs could not be read. New ones will show here."));
  }

  #setUpPage(): void {
    setUpPrinting(() => ({ title: this.page.session.title, ...this.#shownText() }));
    setUpMenu({
      "download-text": () => {
        const { path, text } = this.#shownText();
        download(text, nameIn(path));
      },
      "download-session": () => undefined,
    });
    setUpShortcuts({ Enter: () => void this.#run.start(), ".": () => this.#run.stop(), s: () => this.#state.flash() });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#live.keepPlaces();
      else if (this.#panes.isShown("chat")) this.#chat.shown();
    });
    addEventListener("pagehide", () => this.#live.keepPlaces());
    addEventListener("beforeunload", (event) => {
      const isAtRisk = this.#live.collab.isAtRisk && !this.#endings.hasCopy;
      if (isAtRisk || this.#endings.isAtRisk || this.#gone.isAtRisk) event.preventDefault();
    });
  }

  // The parts

  #makeLanguageMenu(): LanguageMenu {
    return new LanguageMenu(this.page, {
      shown: () => {
        this.#setLanguage(this.#files.shown);
        this.#run.refresh();
      },
      read: () => {
        this.#run.refresh();
        this.#runs.refresh();
      },
      saved: () => this.#showSession(),
    });
  }

  #makeChat(): Chat {
    const { session, user } = this.page;
    return new Chat({
      sessionId: session.id,
      hueOf: (id) => this.#people.hueOf(id),
      me: user,
      mayWrite: session.may_chat,
      isShown: () => this.#panes.isShown("chat"),
      announce,
    });
  }

  #makePeople(): People {
    return new People({
      me: this.page.user,
      whereabouts: () => whereabouts(this.#live.collab.awareness, this.#live.collab.doc, this.#files.list),
      goTo: ({ file, index }) => {
        this.#panes.show("editor");
        this.#files.open(file.id);
        this.#live.editor.reveal(index);
      },
      changed: (names) => this.#chat.peopleChanged(names),
      rename: async (name) => {
        await call("PATCH", `/api/sessions/${this.page.session.id}/guest-name`, { name });
      },
    });
  }

  #makeGoneFiles(): GoneFiles {
    const { session, user } = this.page;
    return new GoneFiles({
      sessionId: session.id,
      me: user,
      mayEdit: () => canEdit(session.permission),
      keep: async (file) => {
        try {
          announce(`${await this.#files.bringBack(file)} is a file of this session again.`);
          return true;
        } catch (failure) {
          problem(reasonOf(failure, "The file was not created. The text is still here. Try again."));
          return false;
        }
      },
      download: ({ path, text }) => download(text, nameIn(path)),
      changed: () => {
        this.#files.goneChanged();
        this.#state.refresh();
      },
    });
  }

  #makeFiles(): Files {
    const { session } = this.page;
    return new Files({
      sessionId: session.id,
      mayEdit: () => canEdit(session.permission) && this.#live.isLoaded,
      open: (file) => {
        this.#live.editor.show(this.#live.collab.doc.getText(file.id), labelOf(file));
        this.#setLanguage(file);
        this.#state.refresh();
      },
      openGone: (file) => {
        this.#live.editor.showGone(file.text, `Text of ${file.path}, which was deleted`);
        this.#setLanguage(file);
        this.#gone.offer(file.id);
        this.#state.refresh();
      },
      deleted: (file) => this.#gone.add(file),
      gone: () => this.#gone.list,
      returned: (id, text) => this.#gone.returned(id, text),
      focus: () => this.#live.editor.view.focus(),
      announce,
    });
  }

  #makeRuns(): Runs {
    return new Runs({
      list: byId("runs"),
      empty: byId("runs-empty"),
      sessionId: this.page.session.id,
      me: this.page.user,
      permission: () => this.page.session.permission,
      limitsOf: (key) => this.#language.limitsOf(key),
      isLive: () => this.#state.isLive,
      stoppable: (run) => {
        this.#run.stoppable = run;
      },
      announce,
      news: () => this.#panes.news(),
      problem,
      goTo: (line, column) => {
        this.#panes.show("editor");
        this.#files.open(MAIN);
        this.#live.editor.goTo(line, column);
      },
    });
  }

  #makeRunButton(): RunButton {
    return new RunButton({
      page: this.page,
      runs: this.#runs,
      refusal: () => this.#language.refusal,
      readLanguages: () => this.#language.read(),
      hasText: () => this.#live.isLoaded || this.#reading.isShown,
      isSaved: async () => !this.#live.isLoaded || this.#live.collab.settled(SETTLE_MS),
      texts: () => this.#textsToRun(),
      started: () => this.#panes.show("output"),
    });
  }

  #makeDocument(): LiveDocument {
    const events: Omit<CollabEvents, "loaded"> = {
      state: (state) => this.#state.show(state),
      message: (message) => this.#room.take(message),
      permission: (permission) => this.#setPermission(permission),
      hello: (hello) => {
        this.#room.showDegraded(hello.is_degraded === true);
        this.#room.showMeasure(hello.measure);
        if (hello.limits?.chat_characters) this.#chat.limit = hello.limits.chat_characters;
      },
      reconnected: () => this.#readMissed(),
      ended: (ending) => this.#endings.ended(ending),
    };
    return new LiveDocument({
      page: this.page,
      places: new Places(`places:${this.page.session.id}`),
      events,
      shown: () => this.#files.shown,
      watch: ({ collab, editor }, shownId) => {
        this.#files.current = MAIN;
        void editor.setLanguage(this.page.session.language, MAIN);
        this.#files.watch(collab.doc, collab, shownId);
      },
      loaded: (shown) => {
        this.#reading.hide();
        this.#setPermission(this.page.session.permission);
        if (!shown || this.#files.list.some(({ id }) => id === shown.id)) {
          this.#live.editor.goBack();
          return;
        }
        // It is in no file of the server's text.
        if (!this.#gone.get(shown.id)) this.#gone.add(shown);
        this.#files.openGone(shown.id);
      },
      refuse: problem,
      onCaret: (line, column) => {
        byId("caret").textContent = `Ln ${line}, Col ${column}`;
      },
      onIndent: (words) => {
        byId("indent").textContent = words;
      },
    });
  }

  #makeEndings(): Endings {
    return new Endings({
      page: this.page,
      gone: this.#gone,
      notInAFile: () => this.#notInAFile(),
      fileName: () => this.#language.entryName,
      text: () => this.#wholeText(),
      stop: () => this.#live.editor.setReadOnly(true),
      reopen: (earlier) => this.#live.reopen(earlier),
    });
  }

  #makeUnconnected(): Unconnected {
    return new Unconnected({
      session: this.page.session,
      reading: this.#reading,
      isConnecting: () => this.#state.state.kind === "connecting",
      isLoaded: () => this.#live.isLoaded,
      lastClose: () => this.#live.lastClose,
      fileName: () => this.#language.entryName,
      reconnect: () => this.#live.collab.tryAgain(),
      changed: () => this.#state.refresh(),
      ended: () => this.#readMissed(),
    });
  }

  // What happens

  #stateChanged(state: SaveState): void {
    if (state.kind === "offline" || state.kind === "closed") showHere("");
    if (this.#state.isLive) this.#unconnected.end();
    if (state.kind === "closed") {
      if (hasLostAccess(state.code)) this.#chat.forgetDraft();
      // Too many pages at once, say: the text may still be read.
      if (!this.#live.isLoaded && mayStillRead(state.code)) void this.#reading.show();
      this.#endings.closed(state);
    }
    this.#run.refresh();
  }

  /** Reads what was not announced to this page while it was not connected. */
  #readMissed(): void {
    const { session } = this.page;
    void call<SessionRow>("GET", `/api/sessions/${session.id}`).then((row) => {
      adopt(session, row);
      this.#showSession();
    }).catch(() => undefined);
    void this.#runs.load().catch(() => undefined);
    void this.#chat.load().catch(() => undefined);
  }

  #setPermission(permission: Permission): void {
    const was = this.page.session.permission;
    this.page.session.permission = permission;
    this.#live.editor.setReadOnly(!canEdit(permission) || !this.#live.isLoaded || this.#live.collab.isClosed);
    this.#files.refresh();
    this.#gone.refresh();
    this.#title.isReadOnly = !canManage(permission);
    this.#language.isDisabled = !canManage(permission);
    if (was !== permission) announce(canEdit(permission) ? "You can now edit." : "You can now only read.");
    this.#runs.refresh();
    this.#run.refresh();
  }

  // What is shown

  /** Shows what the session is now, wherever it stands. */
  #showSession(): void {
    const { title } = this.page.session;
    document.title = `${title} · CodeCrafter`;
    byId("heading").textContent = title;
    this.#title.show();
    this.#share.refresh();
    this.#language.show();
  }

  #setLanguage(file: FileEntry): void {
    void this.#live.editor.setLanguage(this.#language.languageOf(file), file.path);
  }

  // The texts

  #notInAFile(): string | null {
    const [file] = [...(this.#files.shownGone ? [this.#files.shownGone] : []), ...this.#gone.unsaved];
    return file ? `Not saved: ${file.path} was deleted` : null;
  }

  #wholeText(): string {
    return wholeText(this.#live.collab.doc);
  }

  /** What is on the screen, and its path. */
  #shownText(): { path: string; text: string } {
    if (this.#reading.isShown) return { ...this.#reading.file, path: this.#reading.file.path || this.#language.entryName };
    const { id, path } = this.#files.shown;
    return { path: id === MAIN ? this.#language.entryName : path, text: this.#live.editor.content };
  }

  /** The entry file goes under the name that its language gives it. */
  #textsToRun(): { path: string; content: string }[] {
    const { doc, text } = this.#live.collab;
    const { entryName } = this.#language;
    const others = this.#files.list.filter(({ id, path }) => id !== MAIN && path !== entryName);
    return [
      { path: entryName, content: text.toString() },
      ...others.map(({ id, path }) => ({ path, content: doc.getText(id).toString() })),
    ];
  }
}

const nameIn = (path: string): string => path.split("/").at(-1) ?? path;
