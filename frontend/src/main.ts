// The editor page: joins the live document, the editor, the runs and the people to the elements of the page.
import { call, reasonOf } from "./api";
import { adopt, changeField, type SessionRow } from "./changes";
import { Chat } from "./chat";
import { noteTimeOfPage } from "./clock";
import { Collab, type Ending, type SaveState } from "./collab";
import type { Notice, ServerMessage } from "./received";
import { type CopyName, remove } from "./copies";
import { leftovers } from "./device";
import { Editor } from "./editor";
import { Files } from "./files";
import { GoneFiles } from "./gone";
import { announce, download, endNotice, notice, type NoticeAction, noticeOf, problem } from "./notices";
import { byId, canEdit, canManage, clockTime, make, plural, readPage, type Language, type Permission } from "./page";
import { setUpPanes } from "./panes";
import { Places } from "./places";
import { People, permissionWords } from "./people";
import { setUpPrinting } from "./printing";
import { Reading } from "./reading";
import { Runs, type Run } from "./runs";
import { ShareDialog } from "./share";
import type { StreamName } from "./streams";
import { type FileEntry, MAIN, wholeText } from "./texts";
import { setUpThemeSwitch } from "./theme-switch";
import { TitleField } from "./title";
import { whereabouts } from "./whereabouts";

/** How long Run waits for one's own edits to be committed before it sends the text along. */
const SETTLE_MS = 2_000;
const LONG_BREAK_MS = 30_000;
/** How long the page waits for its first connection before it goes on without one. */
const FIRST_WAIT_MS = 6_000;
const MOST_ENDINGS = 3;

const page = readPage();
const { session } = page;
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

const runButton = byId<HTMLButtonElement>("run");
const stopButton = byId<HTMLButtonElement>("stop");
const languageMenu = byId<HTMLSelectElement>("language");
const stdinField = byId<HTMLTextAreaElement>("stdin");
let stoppable: Run | null = null;
let shownState: SaveState = { kind: "connecting", count: 0, isOnDevice: false };
let wasOffline = false;
/** Whether the first connection is late, so that the page does without. */
let isUnconnected = false;
/** How the server, or whoever is between, closed the last connection. */
let lastClose: number | null = null;
let endings: number[] = [];
/** Whether the text of a closed connection was downloaded. */
let hasCopy = false;
/** Offered texts that are nowhere but in this page. */
const unkeptCopies = new Set<string>();

const entryName = (): string => page.languages.find(({ key }) => key === session.language)?.file_name ?? "main.txt";

const downloadAction = (text: () => string, after = (): void => undefined, words = "Download my copy"): NoticeAction => ({
  words,
  icon: "download",
  act: () => {
    download(text(), entryName());
    after();
  },
});
const reloadAction: NoticeAction = { words: "Reload", icon: "rotate-cw", act: () => location.reload() };
const signInAction: NoticeAction = {
  words: "Sign in again",
  icon: "arrow-right",
  act: () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`),
};

// The connection and what is saved

const notSaved = ({ count, isOnDevice }: { count: number; isOnDevice: boolean }): string =>
  `Not saved: ${plural(count, "change")} ${isOnDevice ? "on this device" : "in this page only"}`;

/** Words about text here that is in no file of the session, or null. */
function notInAFile(): string | null {
  const [file] = [...(files.shownGone ? [files.shownGone] : []), ...gone.unsaved];
  return file ? `Not saved: ${file.path} was deleted` : null;
}

function stateWords(state: SaveState): { tone: string; words: string } {
  const lost = notInAFile();
  const everything = lost ?? "Everything is saved";
  switch (state.kind) {
    case "connecting":
      return { tone: "waiting", words: `${connectingWords()}${state.count > 0 ? `. ${notSaved(state)}` : ""}` };
    case "saved":
      return lost ? { tone: "waiting", words: lost } : { tone: "good", words: "Saved" };
    case "saving":
      return lost ? { tone: "waiting", words: lost } : { tone: "good", words: "Saving" };
    case "unsaved":
      return { tone: "waiting", words: notSaved(state) };
    case "offline": {
      const seconds = Math.round((Date.now() - state.since.getTime()) / 1000);
      const what = navigator.onLine ? `${state.isRestarting ? "Server restarting" : "Reconnecting"} (${seconds} s)` : "Offline";
      return { tone: "waiting", words: `${what}. ${state.count > 0 ? notSaved(state) : everything}` };
    }
    case "readonly":
      return { tone: "good", words: "Read only" };
    case "closed":
      return { tone: "bad", words: `Closed. ${state.count > 0 ? notSaved(state) : everything}` };
  }
}

const connectingWords = (): string => (!isUnconnected ? "Connecting" : isLoaded ? "Not connected" : "Not connected. Read only");

/** Whether what happens in the room reaches this page by itself. */
const isLive = (): boolean => !["connecting", "offline", "closed"].includes(shownState.kind);

function showState(state: SaveState): void {
  shownState = state;
  const { tone, words } = stateWords(state);
  const element = byId("state");
  element.dataset.tone = tone;
  element.dataset.state = state.kind;
  byId("state-words").textContent = words;
  element.title = state.kind === "saved" ? `Saved on the server at ${clockTime(state.at)}` : "";
  if (state.kind === "offline" || state.kind === "closed") showHere("");
  if (isLive()) endUnconnected();
  if (state.kind === "offline") showBreak(state);
  else if (wasOffline && (state.kind === "saved" || state.kind === "readonly")) {
    wasOffline = false;
    endNotice("offline");
    announce(`Reconnected. ${notInAFile() ?? "All changes are saved"}.`);
  }
  if (state.kind === "closed") showClosed(state);
  showRun();
}

function showHere(words: string): void {
  byId("here").textContent = words;
  byId("here").hidden = !words;
}

function showStateAgain(): void {
  showState(shownState);
}

function showBreak(state: SaveState & { kind: "offline" }): void {
  if (!wasOffline) {
    const what = state.isRestarting ? "The server restarts." : "Connection lost.";
    announce(`${what} You can go on; this page connects again by itself.`);
  }
  wasOffline = true;
  if (Date.now() - state.since.getTime() < LONG_BREAK_MS || noticeOf("offline")) return;
  const next = state.isOnDevice
    ? "What you type is kept on this device and sent as soon as the server is back, also if you close this page and open it later."
    : "This browser keeps no copy of what you type. Keep this page open: it sends your changes as soon as the server is back.";
  notice("offline", `The server has not answered for 30 seconds. ${next}`, [downloadAction(() => wholeText(collab.doc))]);
}

// Without the first connection

/** Says why there is no live connection, and shows the text for reading. Called again it looks anew. */
async function showUnconnected(): Promise<void> {
  if (shownState.kind !== "connecting") return;
  const isThere = isLoaded ? await call("GET", `/api/sessions/${session.id}`).then(() => true, () => false) : await reading.show();
  if (shownState.kind !== "connecting") return reading.hide();
  const isNews = !isUnconnected;
  isUnconnected = true;
  const actions: NoticeAction[] = [{ words: "Try again", icon: "rotate-cw", act: () => void tryAgain() }];
  if (!isLoaded) actions.push(downloadAction(() => reading.file.text, undefined, "Download this text"));
  const words = `${unconnectedReason(isThere)} ${unconnectedKept(isThere)}`;
  if (isNews || noticeOf("unconnected")?.querySelector("p")?.textContent !== words) notice("unconnected", words, actions);
  showState(shownState);
}

function unconnectedReason(isThere: boolean): string {
  if (!isThere) return "The server does not answer.";
  switch (lastClose) {
    case 1012:
      return "The server restarts.";
    case 1013:
    case 4503:
      return "The server cannot open the live document now.";
    case 1011:
      return "The live connection is closed as soon as it is made (code 1011), by the server or by a proxy in front of it.";
    default:
      return "This network lets no WebSocket through: a proxy or a firewall between you and the server stops the live connection.";
  }
}

function unconnectedKept(isThere: boolean): string {
  const next = "This page keeps trying to connect.";
  if (isLoaded) return `What you type is kept on this device and sent once there is a connection. ${next}`;
  if (!isThere) return `You can read the text as it was when the page was opened. ${next}`;
  const run = canEdit(session.permission) ? "read and run the text as it was saved last" : "read the text as it was saved last";
  return `You can ${run}, not edit it. ${next}`;
}

async function tryAgain(): Promise<void> {
  collab.tryAgain();
  await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS));
  await showUnconnected();
}

function endUnconnected(): void {
  if (!isUnconnected && !reading.isShown) return;
  isUnconnected = false;
  reading.hide();
  endNotice("unconnected");
  announce("Connected.");
  // What happened meanwhile was not announced to this page.
  void readSession().catch(() => undefined);
  void runs.load().catch(() => undefined);
  void chat.load().catch(() => undefined);
}

const CLOSED_WORDS: Record<number, string> = {
  4400: "The server could not read what this page sent, and ended the connection.",
  4401: "You are signed out.",
  4403: "You no longer have access to this session.",
  4404: "This session is not here any more: it was archived, or it is not shared with you now.",
  4429: "This session is open too many times, by you or by everybody together. Close it elsewhere, then reload.",
};

function showClosed(state: SaveState & { kind: "closed" }): void {
  const isGone = state.code === 4403 || state.code === 4404;
  editor.setReadOnly(true);
  const count = plural(state.count, "change");
  let kept = `${notInAFile() ?? "Everything you wrote is saved"}.`;
  if (state.count > 0) {
    if (isGone) kept = `${count} did not reach the server. Download your copy if you want to keep it: nothing stays on this device.`;
    else if (state.isOnDevice) kept = `${count} did not reach the server. They are kept on this device and sent when you are back here.`;
    else kept = `${count} did not reach the server and are in this page only. Download your copy first.`;
  }
  const next = state.code === 4401 ? [signInAction] : isGone ? [] : [reloadAction];
  const copy = state.count > 0 ? [downloadAction(() => wholeText(collab.doc), () => (hasCopy = true))] : [];
  const words = CLOSED_WORDS[state.code] ?? `The server ended this connection for good (code ${state.code}).`;
  if (isGone) chat.forgetDraft();
  // Too many pages at once, say: the text may still be read.
  if (!isLoaded && !isGone && state.code !== 4401) void reading.show();
  endNotice("offline");
  endNotice("unconnected");
  notice("closed", `${words} ${kept}`, [...next, ...copy]);
}

// Texts that cannot be merged any more

const ENDED_WORDS: Record<Ending["reason"], string> = {
  read_only: "You can read this session now, not edit it.",
  too_large: "Your last change is larger than this server takes.",
  invalid: "The server could not read your last change.",
  epoch: "This session was put back to another version.",
};

function goOn(ending: Ending): void {
  const { reason, detail, text, count, kept } = ending;
  // Of what is too large, the server says how much it takes.
  const why = reason === "too_large" && detail ? detail : ENDED_WORDS[reason];
  const lost = count > 0 ? `${plural(count, "change")} of yours ${count === 1 ? "was" : "were"} not taken.` : "";
  if (count > 0 || reason === "epoch") {
    offerCopy(reason, `${why} ${lost} The page shows the text as it is on the server.`, text, kept);
  }
  announce(why);
  const now = Date.now();
  endings = [...endings.filter((moment) => now - moment < 60_000), now];
  // A page whose changes are refused again and again must not go round in circles.
  if (endings.length > MOST_ENDINGS) {
    editor.setReadOnly(true);
    notice("closed", "The server keeps refusing what this page sends. Your copy can be downloaded above. Reload to go on.", [reloadAction]);
    return;
  }
  openDocument(null, ending.earlier);
}

function offerCopy(reason: string, words: string, text: string, kept: CopyName | null): void {
  const key = `copy-${kept?.name ?? reason}`;
  if (!kept && text) unkeptCopies.add(key);
  const discard = {
    words: "Discard",
    icon: "x",
    act: () => {
      unkeptCopies.delete(key);
      if (kept) void remove([kept]);
      endNotice(key);
    },
  };
  notice(key, words, [downloadAction(() => text, () => unkeptCopies.delete(key)), discard]);
}

/** What an earlier page left on this device and could not be sent. */
async function offerLeftovers(): Promise<void> {
  const epoch = canEdit(session.permission) ? page.document.epoch : null;
  for (const { name, path, text, count, reason } of await leftovers(page.user.id, session.id, epoch)) {
    if (reason === "deleted") {
      gone.add({ id: name.name, path, text, hasRest: true }, name);
      continue;
    }
    const why = name.part === page.document.epoch ? ENDED_WORDS.read_only : ENDED_WORDS[reason as Ending["reason"]] ?? ENDED_WORDS.epoch;
    offerCopy(reason, `${why} ${plural(count, "change")} of yours from before could not be saved. That text is on this device only.`, text, name);
  }
}

function setPermission(permission: Permission): void {
  const was = session.permission;
  session.permission = permission;
  editor.setReadOnly(!canEdit(permission) || !isLoaded || collab.isClosed);
  files.refresh();
  gone.refresh();
  titleField.isReadOnly = !canManage(permission);
  languageMenu.disabled = !canManage(permission);
  if (was !== permission) announce(canEdit(permission) ? "You can edit now." : "You can only read now.");
  runs.refresh();
  showRun();
}

/** What a moderator's lock or freeze means here, or that it has ended. */
function showMeasure(detail: string): void {
  const bar = byId("measure");
  if (bar.textContent?.trim() === detail) return;
  bar.hidden = !detail;
  bar.replaceChildren(make("p", {}, detail));
  announce(detail || "The moderator's measure has ended. You can do again what your permission allows.");
}

function take(message: ServerMessage): void {
  switch (message.type) {
    case "presence": {
      const words = people.take(message.people);
      showHere(people.countWords);
      if (words) announce(words);
      break;
    }
    case "session.changed":
      adopt(session, message);
      showSession();
      break;
    case "session.moderated":
      showMeasure(message.detail);
      break;
    case "run.state":
      runs.take(message.run as Run);
      break;
    case "run.output":
      runs.takeOutput(message.job_id, message.stream as StreamName, message.offset, message.data_base64);
      break;
    case "run.input":
      runs.takeInput(message.job_id, message.user.username, message.text);
      break;
    case "chat":
      chat.take(message);
      break;
    case "chat.removed":
      chat.remove(message.id);
      break;
    case "notice":
      takeNotice(message);
      break;
    case "degraded":
      showDegraded(message.is_degraded);
      break;
    case "error":
      if (!chat.refuse(message.ref, message.detail)) problem(message.detail);
      break;
  }
}

function showDegraded(isDegraded: boolean): void {
  byId("degraded").hidden = !isDegraded;
}

let namedBy = "Somebody";

function takeNotice(message: Notice): void {
  if (message.kind === "title_changed") namedBy = message.by?.username ?? "Somebody";
  if (["joined", "left", "role_changed"].includes(message.kind)) share.peopleChanged();
  if (message.kind === "role_changed" && message.permission === "owner" && message.user) session.owner = message.user;
  if (message.kind === "file_deleted" && message.file && message.by) gone.deletedBy(message.file, message.by);
  const words = noticeWords(message);
  chat.tell(words);
  // Who is here, and may do what, is announced with the list of people and with one's own permission.
  if (["title_changed", "language_changed", "archived"].includes(message.kind)) announce(words);
}

function noticeWords(message: Notice): string {
  const by = message.by?.username ?? "Somebody";
  const who = message.user?.username ?? "Somebody";
  const isSelf = message.by?.id === message.user?.id;
  const may = message.permission ? permissionWords[message.permission] : "";
  switch (message.kind) {
    case "joined":
      return isSelf ? `${who} joined and ${may}` : `${by} added ${who}, who ${may}`;
    case "left":
      return isSelf ? `${who} left this session` : `${by} removed ${who}`;
    case "role_changed":
      if (message.permission === "owner") return `${by} made ${who} the owner`;
      return isSelf ? `${who} ${may} now` : `${by} changed what ${who} may do: ${may}`;
    case "title_changed":
      return `${by} named this session “${message.title}”`;
    case "language_changed":
      return `${by} changed the language to ${page.languages.find(({ key }) => key === message.language)?.name ?? message.language}`;
    case "file_deleted":
      return `${by} deleted ${message.path}`;
    case "archived":
      return `${by} archived this session`;
  }
}

// Runs

function runRefusal(): string {
  const language = page.languages.find(({ key }) => key === session.language);
  return language?.available === false ? `${language.unavailable_reason ?? "It cannot be run here."} Everything else works.` : "";
}

function showRun(): void {
  runButton.hidden = !canEdit(session.permission);
  runButton.setAttribute("aria-disabled", String(runRefusal() !== "" || !hasText()));
  runButton.title = runRefusal();
  stopButton.hidden = stoppable === null;
}

/** Whether there is a text to run: in the editor, or on the server as it is shown for reading. */
const hasText = (): boolean => isLoaded || reading.isShown;

let isStarting = false;

async function startRun(): Promise<void> {
  if (isStarting || !hasText() || !canEdit(session.permission)) return;
  isStarting = true;
  runButton.dataset.busy = "yes";
  try {
    // What could not run when the page was opened may run by now.
    if (runRefusal()) await readLanguages().catch(() => undefined);
    if (runRefusal()) {
      problem(runRefusal());
      return;
    }
    panes.show("output");
    const isSaved = !isLoaded || (await collab.settled(SETTLE_MS));
    const stdin = stdinField.value;
    const run = await call<Run>("POST", "/api/execute", {
      session_id: session.id,
      ...(stdin ? { stdin } : { interactive: true }),
      ...(isSaved ? {} : { files: textsToRun(), language: session.language }),
    });
    runs.take(run);
    if (!isSaved) runs.markUnsaved(run.job_id);
    endNotice("problem");
  } catch (failure) {
    problem(reasonOf(failure, "The run was not started. Your text is unchanged. Try again."));
  } finally {
    isStarting = false;
    delete runButton.dataset.busy;
  }
}

/** What runs when the server has not got it yet: the entry file under the name that its language gives it. */
function textsToRun(): { path: string; content: string }[] {
  const others = files.list.filter(({ id, path }) => id !== MAIN && path !== entryName());
  return [
    { path: entryName(), content: collab.text.toString() },
    ...others.map(({ id, path }) => ({ path, content: collab.doc.getText(id).toString() })),
  ];
}

function stopRun(): void {
  if (stoppable) void runs.stop(stoppable);
}

// Title and language

async function readSession(): Promise<void> {
  adopt(session, await call<SessionRow>("GET", `/api/sessions/${session.id}`));
  showSession();
}

/** Shows what the session is now, wherever it stands. */
function showSession(): void {
  document.title = `${session.title} · CodeCrafter`;
  byId("heading").textContent = session.title;
  titleField.show();
  share.refresh();
  if (shownLanguage !== session.language) showLanguage();
}

/** Which languages run here, and their versions. Without an answer Run stays open: the server refuses with its reason. */
async function readLanguages(): Promise<void> {
  page.languages = await call<Language[]>("GET", "/api/execute/languages");
  for (const option of languageMenu.options) {
    const language = page.languages.find(({ key }) => key === option.value);
    if (language) option.text = language.available ? language.name : `${language.name} (cannot be run here)`;
  }
  showLanguageName();
  showRun();
  runs.refresh();
}

function showLanguageName(): void {
  const language = page.languages.find(({ key }) => key === session.language);
  byId("language-version").textContent = language ? [language.name, language.version].filter(Boolean).join(" ") : session.language;
}

let shownLanguage = "";

function showLanguage(): void {
  shownLanguage = session.language;
  languageMenu.value = session.language;
  showLanguageName();
  void editor.setLanguage(languageOf(files.shown), files.shown.path);
  showRun();
}

/** The language of a file: the session's for the one that it starts in, else what its name says. */
function languageOf({ id, path }: FileEntry): string {
  if (id === MAIN) return session.language;
  const suffix = /\.[^./]+$/.exec(path)?.[0];
  const own = page.languages.find(({ key }) => key === session.language);
  const known = own?.file_name.endsWith(suffix ?? "\0") ? own : page.languages.find(({ file_name }) => suffix && file_name.endsWith(suffix));
  return known?.key ?? "";
}

languageMenu.addEventListener("change", async () => {
  const wanted = languageMenu.value;
  const name = (key: string): string => page.languages.find((language) => language.key === key)?.name ?? key;
  try {
    if (!(await changeField(session, "language", wanted, shownLanguage))) {
      problem(`Somebody else has just changed the language to ${name(session.language)}. Choose ${name(wanted)} again if you still want it.`);
    }
  } catch (failure) {
    problem(reasonOf(failure, "The language was not changed. Try again."));
  }
  showLanguage();
  showSession();
});

// The page

const places = new Places(`places:${session.id}`);
let isLoaded = false;
let collab: Collab;
let editor: Editor;

const reading = new Reading(session.id, problem);

const chat = new Chat({
  sessionId: session.id,
  hueOf: (id) => people.hueOf(id),
  me: page.user,
  mayWrite: session.may_chat,
  isShown: () => panes.isShown("chat"),
  unread: (count) => {
    for (const mark of document.querySelectorAll<HTMLElement>("[data-unread]")) {
      mark.hidden = count === 0;
      mark.textContent = count === 0 ? "" : count > 99 ? "99+" : String(count);
    }
    for (const tab of document.querySelectorAll<HTMLElement>("[data-show=chat]")) {
      tab.setAttribute("aria-label", count > 0 ? `Chat, ${plural(count, "unread message")}` : "Chat");
    }
  },
  announce,
});

const panes = setUpPanes((view) => {
  if (view === "chat") chat.shown();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && panes.isShown("chat")) chat.shown();
});

const people = new People({
  me: page.user,
  whereabouts: () => whereabouts(collab.awareness, collab.doc, files.list),
  goTo: ({ file, index }) => {
    panes.show("editor");
    files.open(file.id);
    editor.reveal(index);
  },
  changed: (names) => chat.peopleChanged(names),
  rename: async (name) => {
    await call("PATCH", `/api/sessions/${session.id}/guest-name`, { name });
  },
});

const labelOf = ({ id, path }: FileEntry): string => (id === MAIN ? "Shared text" : `Shared text of ${path}`);

const files = new Files({
  sessionId: session.id,
  mayEdit: () => canEdit(session.permission) && isLoaded,
  open: (file) => {
    editor.show(collab.doc.getText(file.id), labelOf(file));
    void editor.setLanguage(languageOf(file), file.path);
    showStateAgain();
  },
  openGone: (file) => {
    editor.showGone(file.text, `Text of ${file.path}, which was deleted`);
    void editor.setLanguage(languageOf(file), file.path);
    gone.offer(file.id);
    showStateAgain();
  },
  deleted: (file) => gone.add(file),
  gone: () => gone.list,
  returned: (id, text) => gone.returned(id, text),
  focus: () => editor.view.focus(),
  announce,
});

const gone = new GoneFiles({
  sessionId: session.id,
  me: page.user,
  mayEdit: () => canEdit(session.permission),
  keep: async (file) => {
    try {
      announce(`${await files.bringBack(file)} is a file of this session again.`);
      return true;
    } catch (failure) {
      problem(reasonOf(failure, "The file was not created. The text is still here. Try again."));
      return false;
    }
  },
  download: ({ path, text }) => download(text, path.split("/").at(-1) ?? path),
  changed: () => {
    files.goneChanged();
    showStateAgain();
  },
});

/** Opens the live document; the second time in the place of the first. `epoch` is null when only the server knows it. */
function openDocument(epoch: string | null, earlier: Uint8Array | null = null): void {
  const hadFocus = isLoaded && editor.view.hasFocus;
  // What was shown may be in no file of the server's text.
  const shown = isLoaded ? { ...files.shown, text: editor.content, hasRest: false } : null;
  const steps = earlier && editor.steps;
  if (epoch === null) {
    editor.keepPlace();
    editor.destroy();
  }
  isLoaded = false;
  collab = new Collab(
    { sessionId: session.id, userId: page.user.id, permission: session.permission, epoch, earlier },
    {
      state: showState,
      message: take,
      permission: setPermission,
      hello: (hello) => {
        showDegraded(hello.is_degraded === true);
        if (hello.limits?.chat_characters) chat.limit = hello.limits.chat_characters;
        showMeasure(hello.measure);
      },
      loaded: () => {
        isLoaded = true;
        if (steps) editor.carryOver(steps, collab.doc);
        reading.hide();
        byId("editor-pane").dataset.loaded = "yes";
        setPermission(session.permission);
        if (shown && !files.list.some(({ id }) => id === shown.id)) {
          if (!gone.get(shown.id)) gone.add(shown);
          files.openGone(shown.id);
        } else editor.goBack();
        if (hadFocus) editor.view.focus();
      },
      reconnected: () => {
        void readSession().catch(() => undefined);
        void runs.load().catch(() => undefined);
        void chat.load().catch(() => undefined);
      },
      ended: goOn,
    },
  );
  collab.provider.on("connection-close", (event) => {
    lastClose = event?.code ?? null;
  });
  editor = new Editor({
    parent: byId("editor"),
    text: collab.text,
    awareness: collab.awareness,
    nonce: byId<HTMLScriptElement>("editor-script").nonce,
    label: labelOf({ id: MAIN, path: MAIN }),
    settings: page.editor_settings,
    places,
    hold: (isHeld) => collab.hold(isHeld),
    mostBytes: () => collab.textBytes,
    refuse: problem,
    onCaret: (line, column) => {
      byId("caret").textContent = `Ln ${line}, Col ${column}`;
    },
    onIndent: (words) => {
      byId("indent").textContent = words;
    },
  });
  files.current = MAIN;
  void editor.setLanguage(session.language, MAIN);
  files.watch(collab.doc, collab, shown?.id ?? places.shown);
  void collab.connect();
}

const runs = new Runs({
  list: byId("runs"),
  empty: byId("runs-empty"),
  sessionId: session.id,
  me: page.user,
  permission: () => session.permission,
  limitsOf: (key) => page.languages.find((language) => language.key === key)?.limits ?? {},
  isLive,
  stoppable: (run) => {
    stoppable = run;
    showRun();
  },
  announce,
  news: () => panes.news(),
  problem,
  goTo: (line, column) => {
    panes.show("editor");
    files.open(MAIN);
    editor.goTo(line, column);
  },
});

const share = new ShareDialog(page, () => session.permission, announce, problem);
const titleField = new TitleField(session, () => namedBy, showSession);
setUpThemeSwitch();
setUpPrinting(() => {
  const { path, text } = reading.isShown ? reading.file : { path: files.shown.path, text: editor.content };
  return { title: session.title, path: path === MAIN ? entryName() : path, text };
});
runButton.addEventListener("click", () => void startRun());
stopButton.addEventListener("click", stopRun);
byId("download-text").addEventListener("click", () => {
  const { path, text } = reading.isShown ? reading.file : { path: files.shown.id === MAIN ? "" : files.shown.path, text: editor.content };
  download(text, path.split("/").at(-1) || entryName());
  byId("more").hidePopover();
});
byId("download-session").addEventListener("click", () => byId("more").hidePopover());
for (const key of document.querySelectorAll("[data-mac]")) {
  if (isMac) key.textContent = (key as HTMLElement).dataset.mac ?? "";
}

const stdinKey = `stdin:${page.user.id}:${session.id}`;
stdinField.value = sessionStorage.getItem(stdinKey) ?? "";
const showStdin = (): void => {
  byId("stdin-mark").hidden = !stdinField.value;
};
stdinField.addEventListener("input", () => {
  sessionStorage.setItem(stdinKey, stdinField.value);
  showStdin();
});
showStdin();

// In the capture phase, so that the editor's own bindings do not take these first.
addEventListener(
  "keydown",
  (event) => {
    if (!(isMac ? event.metaKey : event.ctrlKey) || event.altKey || event.shiftKey) return;
    if (event.key === "Enter") void startRun();
    else if (event.key === ".") stopRun();
    else if (event.key === "s") {
      byId("state").classList.remove("flash");
      void byId("state").offsetWidth;
      byId("state").classList.add("flash");
      announce(byId("state-words").textContent ?? "");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);

function keepPlaces(): void {
  if (!isLoaded) return;
  editor.keepPlace();
  places.shown = files.current;
  places.keep();
}
addEventListener("pagehide", keepPlaces);
document.addEventListener("visibilitychange", () => document.hidden && keepPlaces());

addEventListener("beforeunload", (event) => {
  if ((collab.isAtRisk && !hasCopy) || unkeptCopies.size > 0 || gone.isAtRisk) event.preventDefault();
});

noteTimeOfPage();
openDocument(page.document.epoch);
setTimeout(() => void showUnconnected(), FIRST_WAIT_MS);
showSession();
setPermission(session.permission);
void offerLeftovers().catch(() => undefined);
void chat.load().catch(() => undefined);
void readLanguages().catch(() => undefined);
void runs.load().catch(() => problem("The earlier runs could not be read. New ones will show here."));
