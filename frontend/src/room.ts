// What the server says to everybody in the room, passed on to the parts of the page; what happened to the session itself
// is put into words here.
import { adopt } from "./changes";
import type { Chat } from "./chat";
import type { GoneFiles } from "./gone";
import type { Notice, ServerMessage } from "./received";
import { announce, problem } from "./notices";
import { byId, make, type Page } from "./page";
import { type People, permissionWords } from "./people";
import type { Run } from "./run-words";
import type { Runs } from "./runs";
import type { ShareButton } from "./share-button";
import type { StreamName } from "./streams";

/** Who did it, where that is not known. */
const SOMEBODY = "Somebody";

export interface RoomOptions {
  session: Page["session"];
  chat: Chat;
  people: People;
  runs: Runs;
  gone: GoneFiles;
  share: ShareButton;
  languageName(key: string): string;
  /** The session has other fields now. */
  changed(): void;
}

export class Room {
  /** Who gave the session its title, as far as this page has heard. */
  namedBy = SOMEBODY;

  constructor(private readonly options: RoomOptions) {}

  take(message: ServerMessage): void {
    const { session, chat, people, runs, changed } = this.options;
    switch (message.type) {
      case "presence": {
        const words = people.take(message.people);
        showHere(people.countWords);
        if (words) announce(words);
        break;
      }
      case "session.changed":
        adopt(session, message);
        changed();
        break;
      case "session.moderated":
        this.showMeasure(message.detail);
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
        this.#takeNotice(message);
        break;
      case "degraded":
        this.showDegraded(message.is_degraded);
        break;
      case "error":
        if (!chat.refuse(message.ref, message.detail)) problem(message.detail);
        break;
    }
  }

  /** What a moderator's lock or freeze means here, or that it has ended. */
  showMeasure(detail: string): void {
    const bar = byId("measure");
    if (bar.textContent?.trim() === detail) return;
    bar.hidden = !detail;
    bar.replaceChildren(make("p", {}, detail));
    announce(detail || "The moderators have lifted their restriction. You can do again what your permission allows.");
  }

  showDegraded(isDegraded: boolean): void {
    byId("degraded").hidden = !isDegraded;
  }

  #takeNotice(message: Notice): void {
    const { session, chat, gone, share, languageName } = this.options;
    if (message.kind === "title_changed") this.namedBy = message.by?.username ?? SOMEBODY;
    if (["joined", "left", "role_changed"].includes(message.kind)) share.peopleChanged();
    if (message.kind === "role_changed" && message.permission === "owner" && message.user) session.owner = message.user;
    if (message.kind === "file_deleted" && message.file && message.by) gone.deletedBy(message.file, message.by);
    const words = noticeWords(message, languageName);
    chat.tell(words);
    // Who is here, and may do what, is announced with the list of people and with one's own permission.
    if (["title_changed", "language_changed", "archived"].includes(message.kind)) announce(words);
  }
}

/** How many are here, in the status line. */
export function showHere(words: string): void {
  byId("here").textContent = words;
  byId("here").hidden = !words;
}

function noticeWords(message: Notice, languageName: (key: string) => string): string {
  const by = message.by?.username ?? SOMEBODY;
  const who = message.user?.username ?? SOMEBODY;
  const isSelf = message.by?.id === message.user?.id;
  const may = message.permission ? permissionWords[message.permission] : "";
  switch (message.kind) {
    case "joined":
      return isSelf ? `${who} joined and ${may}` : `${by} added ${who}, who ${may}`;
    case "left":
      return isSelf ? `${who} left this session` : `${by} removed ${who}`;
    case "role_changed":
      if (message.permission === "owner") return `${by} made ${who} the owner`;
      return isSelf ? `${who} now ${may}` : `${by} changed what ${who} can do: ${may}`;
    case "title_changed":
      return `${by} renamed this session to “${message.title}”`;
    case "language_changed":
      return `${by} changed the language to ${languageName(message.language ?? "")}`;
    case "file_deleted":
      return `${by} deleted ${message.path}`;
    case "archived":
      return `${by} archived this session`;
  }
}
