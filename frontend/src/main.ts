// The editor page: joins the live document, the editor, the runs and the people to the elements of the page.
import { call, Problem } from "./api";
import { caretPosition } from "./carets";
import { Collab, type SaveState, type ServerMessage } from "./collab";
import { Editor } from "./editor";
import { byId, canEdit, canManage, clockTime, icon, make, plural, readPage, type Language, type Permission } from "./page";
import { setUpPanes } from "./panes";
import { People } from "./people";
import { Runs, type Run } from "./runs";
import { ShareDialog } from "./share";
import type { StreamName } from "./streams";
import { setUpThemeSwitch } from "./theme-switch";

/** How long Run waits for one's own edits to be committed before it sends the text along. */
const SETTLE_MS = 2_000;
const LONG_BREAK_MS = 30_000;

const page = readPage();
const { session } = page;
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

const runButton = byId<HTMLButtonElement>("run");
const stopButton = byId<HTMLButtonElement>("stop");
const titleField = byId<HTMLInputElement>("title");
const languageMenu = byId<HTMLSelectElement>("language");
const stdinField = byId<HTMLTextAreaElement>("stdin");
let stoppable: Run | null = null;
let wasOffline = false;

/** Tells screen readers, one after the other: a later message must not swallow an earlier one. */
function announce(words: string): void {
  const line = make("p", {}, words);
  byId("announcer").append(line);
  setTimeout(() => line.remove(), 10_000);
}

interface NoticeAction {
  words: string;
  icon: string;
  act(): void;
}

/** Words above the editor that stay until they are dismissed or replaced. `key` tells whose they are. */
function notice(key: string, words: string, actions: NoticeAction[] = []): void {
  const bar = byId("notice");
  bar.dataset.key = key;
  bar.hidden = !words;
  if (!words) return;
  const buttons = actions.map((action) => make("button", { type: "button", class: "button small", click: () => action.act() }, icon(action.icon), action.words));
  const dismiss = make("button", { type: "button", class: "button small quiet icon-only", "aria-label": "Dismiss", click: () => notice(key, "") }, icon("x"));
  bar.replaceChildren(make("p", {}, words), ...buttons, dismiss);
}

function endNotice(key: string): void {
  if (byId("notice").dataset.key === key) notice(key, "");
}

const problem = (words: string): void => notice("problem", words);

function downloadCopy(): void {
  const language = page.languages.find(({ key }) => key === session.language);
  const address = URL.createObjectURL(new Blob([collab.text.toString()], { type: "text/plain" }));
  make("a", { href: address, download: language?.file_name ?? "main.txt" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const downloadAction: NoticeAction = { words: "Download my copy", icon: "download", act: downloadCopy };
const reloadAction: NoticeAction = { words: "Reload", icon: "rotate-cw", act: () => location.reload() };

// The connection and what is saved

function stateWords(state: SaveState): { tone: string; words: string } {
  switch (state.kind) {
    case "connecting":
      return { tone: "waiting", words: "Connecting" };
    case "saved":
      return { tone: "good", words: "Saved" };
    case "saving":
      return { tone: "good", words: "Saving" };
    case "unsaved":
      return { tone: "waiting", words: `Not saved: ${plural(state.count, "change")} on this device` };
    case "offline": {
      const kept = state.count > 0 ? `Not saved: ${plural(state.count, "change")} on this device` : "Everything is saved";
      return { tone: "waiting", words: `Reconnecting (${Math.round((Date.now() - state.since.getTime()) / 1000)} s). ${kept}` };
    }
    case "readonly":
      return { tone: "good", words: "Read only" };
    case "closed":
      return { tone: "bad", words: state.count > 0 ? `Closed. Not saved: ${plural(state.count, "change")} on this device` : "Closed. Everything is saved" };
  }
}

function showState(state: SaveState): void {
  const { tone, words } = stateWords(state);
  const element = byId("state");
  element.dataset.tone = tone;
  element.dataset.state = state.kind;
  byId("state-words").textContent = words;
  element.title = state.kind === "saved" ? `Saved on the server at ${clockTime(state.at)}` : "";
  if (state.kind === "offline" || state.kind === "closed") byId("here").textContent = "";
  if (state.kind === "offline") {
    if (!wasOffline) announce("Connection lost. You can go on; changes are kept on this device.");
    wasOffline = true;
    if (Date.now() - state.since.getTime() > LONG_BREAK_MS && byId("notice").dataset.key !== "offline") {
      notice("offline", "The server has not answered for 30 seconds. Keep this page open: it sends your changes as soon as the server is back.", [downloadAction]);
    }
  } else if (wasOffline && (state.kind === "saved" || state.kind === "readonly")) {
    wasOffline = false;
    endNotice("offline");
    announce("Reconnected. All changes are saved.");
  }
  if (state.kind === "closed") {
    editor.setReadOnly(true);
    const kept = state.count > 0 ? `${plural(state.count, "change")} did not reach the server.` : "Everything you wrote is saved.";
    const actions = state.code === 4401 ? [signInAction] : state.code === 4404 || state.code === 4403 ? [] : [reloadAction];
    notice("closed", `${state.words} ${kept}`, [...actions, downloadAction]);
  }
  showRun();
}

const signInAction: NoticeAction = {
  words: "Sign in again",
  icon: "arrow-right",
  act: () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`),
};

function setPermission(permission: Permission): void {
  const was = session.permission;
  session.permission = permission;
  editor.setReadOnly(!canEdit(permission) || !isLoaded || collab.isClosed);
  titleField.readOnly = !canManage(permission);
  languageMenu.disabled = !canManage(permission);
  if (was !== permission) announce(canEdit(permission) ? "You can edit now." : "You can only read now.");
  runs.refresh();
  showRun();
}

function take(message: ServerMessage): void {
  switch (message.type) {
    case "presence": {
      const words = people.take(message.people);
      byId("here").textContent = people.countWords;
      if (words) announce(words);
      break;
    }
    case "session.changed":
      session.title = message.title;
      session.is_public = message.is_public;
      if (document.activeElement !== titleField) titleField.value = message.title;
      showTitle();
      if (session.language !== message.language) showLanguage(message.language);
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
    case "error":
      problem(message.detail);
      break;
  }
}

// Runs

function runRefusal(): string {
  const language = page.languages.find(({ key }) => key === session.language);
  return language?.available === false ? `${language.name} cannot be run on this server. Everything else works.` : "";
}

function showRun(): void {
  runButton.hidden = !canEdit(session.permission);
  runButton.setAttribute("aria-disabled", String(runRefusal() !== "" || !isLoaded));
  runButton.title = runRefusal();
  stopButton.hidden = stoppable === null;
}

let isStarting = false;

async function startRun(): Promise<void> {
  if (isStarting || !isLoaded || !canEdit(session.permission)) return;
  const refusal = runRefusal();
  if (refusal) {
    problem(refusal);
    return;
  }
  isStarting = true;
  runButton.dataset.busy = "yes";
  panes.show("output");
  try {
    const isSaved = await collab.settled(SETTLE_MS);
    const stdin = stdinField.value;
    const run = await call<Run>("POST", "/api/execute", {
      session_id: session.id,
      ...(stdin ? { stdin } : { interactive: true }),
      ...(isSaved ? {} : { code: collab.text.toString(), language: session.language }),
    });
    runs.take(run);
    if (!isSaved) runs.markUnsaved(run.job_id);
    endNotice("problem");
  } catch (failure) {
    problem(failure instanceof Problem ? failure.message : "The run was not started. Your text is unchanged. Try again.");
  } finally {
    isStarting = false;
    delete runButton.dataset.busy;
  }
}

function stopRun(): void {
  if (stoppable) void runs.stop(stoppable);
}

// Title and language

function showTitle(): void {
  document.title = `${session.title} · CodeCrafter`;
  byId("heading").textContent = session.title;
}

async function changeSession(change: { title?: string; language?: string }): Promise<boolean> {
  try {
    await call("PATCH", `/api/sessions/${session.id}`, change);
    return true;
  } catch (failure) {
    problem(failure instanceof Problem ? failure.message : "The change was not saved. Try again.");
    return false;
  }
}

/** Which languages run here, and their versions. Without an answer Run stays open: the server refuses with its reason. */
async function readLanguages(): Promise<void> {
  page.languages = await call<Language[]>("GET", "/api/execute/languages");
  for (const option of languageMenu.options) {
    const language = page.languages.find(({ key }) => key === option.value);
    if (language?.available === false) option.text = `${language.name} (cannot be run here)`;
  }
  showLanguageName();
  runs.refresh();
}

function showLanguageName(): void {
  const language = page.languages.find(({ key }) => key === session.language);
  byId("language-version").textContent = language ? [language.name, language.version].filter(Boolean).join(" ") : session.language;
}

function showLanguage(key: string): void {
  session.language = key;
  languageMenu.value = key;
  showLanguageName();
  void editor.setLanguage(key);
  showRun();
}

titleField.addEventListener("change", async () => {
  const title = titleField.value.trim();
  if (!title || title === session.title) {
    titleField.value = session.title;
    return;
  }
  if (await changeSession({ title })) {
    session.title = title;
    showTitle();
  } else titleField.value = session.title;
});
titleField.addEventListener("keydown", (event) => {
  if (event.key === "Enter") titleField.blur();
  if (event.key === "Escape") {
    titleField.value = session.title;
    titleField.blur();
  }
});
languageMenu.addEventListener("change", async () => {
  const before = session.language;
  const wanted = languageMenu.value;
  showLanguage(wanted);
  if (!(await changeSession({ language: wanted }))) showLanguage(before);
});

// The page

let isLoaded = false;
const panes = setUpPanes();

const collab = new Collab(session.id, session.permission, {
  state: (state) => showState(state),
  message: take,
  permission: setPermission,
  loaded: () => {
    isLoaded = true;
    byId("editor-pane").dataset.loaded = "yes";
    setPermission(session.permission);
  },
  reconnected: () => void runs.load().catch(() => undefined),
});

const editor = new Editor({
  parent: byId("editor"),
  text: collab.text,
  awareness: collab.awareness,
  nonce: byId<HTMLScriptElement>("editor-script").nonce,
  label: "Shared text",
  onCaret: (line, column) => {
    byId("caret").textContent = `Ln ${line}, Col ${column}`;
  },
});

const people = new People(byId("people"), collab.awareness, page.user, (client) => {
  const state = collab.awareness.getStates().get(client);
  const caret = state && caretPosition(state, collab.text);
  if (!caret) return;
  panes.show("editor");
  editor.reveal(caret.head);
});

const runs = new Runs({
  list: byId("runs"),
  empty: byId("runs-empty"),
  sessionId: session.id,
  me: page.user,
  permission: () => session.permission,
  limitsOf: (key) => page.languages.find((language) => language.key === key)?.limits ?? {},
  stoppable: (run) => {
    stoppable = run;
    showRun();
  },
  announce,
  news: () => panes.news(),
  problem,
  goTo: (line, column) => {
    panes.show("editor");
    editor.goTo(line, column);
  },
});

new ShareDialog(page, () => session.permission, announce);
setUpThemeSwitch();
runButton.addEventListener("click", () => void startRun());
stopButton.addEventListener("click", stopRun);
for (const key of document.querySelectorAll("[data-mac]")) {
  if (isMac) key.textContent = (key as HTMLElement).dataset.mac ?? "";
}

const stdinKey = `stdin:${session.id}`;
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

showTitle();
showLanguage(session.language);
setPermission(session.permission);
collab.connect();
void readLanguages().catch(() => undefined);
void runs.load().catch(() => problem("The earlier runs could not be read. New ones will show here."));
