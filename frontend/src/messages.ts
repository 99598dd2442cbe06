// The text messages of a session's socket. Made from sessions_app/messages.py: `make messages`.
export type Permission = "owner" | "admin" | "write" | "read";

/** `hue` picks the person's colour: in `hello` and `presence` theirs in this room, elsewhere the same everywhere. */
export interface Speaker {
  id: string;
  username: string;
  hue: number;
}

/** `user` became one of the session's people. */
export interface Joined {
  type: "notice";
  by: Speaker;
  kind: "joined";
  user: Speaker;
  permission: Permission;
}

/** `user` is no longer one of them: left when `by` is the same person, was removed otherwise. */
export interface Left {
  type: "notice";
  by: Speaker;
  kind: "left";
  user: Speaker;
}

export interface RoleChanged {
  type: "notice";
  by: Speaker;
  kind: "role_changed";
  user: Speaker;
  permission: Permission;
}

export interface TitleChanged {
  type: "notice";
  by: Speaker;
  kind: "title_changed";
  title: string;
}

export interface LanguageChanged {
  type: "notice";
  by: Speaker;
  kind: "language_changed";
  language: string;
}

/** The sockets of the room are closed next. */
export interface Archived {
  type: "notice";
  by: Speaker;
  kind: "archived";
}

/** Pages that show the file keep its text on the screen and say who deleted it. */
export interface FileDeleted {
  type: "notice";
  by: Speaker;
  kind: "file_deleted";
  file: string;
  path: string;
}

/** What this socket may send; past the rate it is read more slowly. */
export interface HelloLimits {
  frame_bytes: number;
  text_bytes: number;
  updates_per_second: number;
  chat_characters: number;
}

/** The first frame. `measure` is what a moderator's lock or freeze means here; empty without one. */
export interface Hello {
  type: "hello";
  connection_id: string;
  user: Speaker;
  permission: Permission;
  measure: string;
  epoch: string;
  head: number;
  is_degraded: boolean;
  limits: HelloLimits;
}

/** `is_bot` is there for a bot only, `is_guest` for a guest only. */
export interface Present {
  id: string;
  username: string;
  hue: number;
  permission: Permission;
  is_bot?: boolean;
  is_guest?: boolean;
}

export interface Presence {
  type: "presence";
  people: Present[];
}

export interface Access {
  type: "access";
  permission: Permission;
}

/** The socket ends at `expires_at` unless it is renewed before. */
export interface TokenExpiring {
  type: "token_expiring";
  expires_at: string;
}

export interface TokenTaken {
  type: "token";
  expires_at: string;
}

/** Servers do not hear each other: text is saved as ever, but what others type arrives up to a second late. */
export interface Degraded {
  type: "degraded";
  is_degraded: boolean;
}

/** `ref` names the message that could not be done, when it had one. */
export interface ErrorMessage {
  type: "error";
  code: string;
  detail: string;
  ref?: string;
}

export interface SessionChanged {
  title: string;
  language: string;
  is_public: boolean;
  allows_guests: boolean;
  version: number;
  type: "session.changed";
}

/** `detail` is what holds for everybody from now on; empty when nothing does. */
export interface SessionModerated {
  type: "session.moderated";
  detail: string;
}

/** `run` is the run as REST shows it, without its output. */
export interface RunState {
  type: "run.state";
  run: unknown;
}

/** `offset` counts bytes within the stream, so a reader sees a gap and reads it over REST. */
export interface RunOutputPiece {
  type: "run.output";
  job_id: string;
  stream: string;
  offset: number;
  data_base64: string;
}

export interface Person {
  id: string;
  username: string;
}

export interface RunInputTyped {
  type: "run.input";
  job_id: string;
  user: Person;
  text: string;
}

/** A stored message. `ref` is what its sender called it; others pass over it. */
export interface Chat {
  type: "chat";
  id: string;
  user: Speaker;
  text: string;
  created_at: string;
  ref?: string;
}

/** A moderator took a message out of the chat. */
export interface ChatRemoved {
  type: "chat.removed";
  id: string;
}

/** `received` of this connection's step 2 and update frames are committed, or were known and committed before. */
export interface Ack {
  type: "ack";
  received: number;
  seq: number;
}

/** The frame number `received` of this connection was not taken. */
export interface Refused {
  type: "refused";
  received: number;
  code: "read_only" | "too_large" | "invalid";
  detail: string;
}

export type AnyNotice =
  | Joined
  | Left
  | RoleChanged
  | TitleChanged
  | LanguageChanged
  | Archived
  | FileDeleted;

export type PageMessage =
  | Hello
  | Presence
  | Access
  | TokenExpiring
  | TokenTaken
  | Degraded
  | ErrorMessage
  | SessionChanged
  | SessionModerated
  | RunState
  | RunOutputPiece
  | RunInputTyped
  | Chat
  | ChatRemoved
  | Joined
  | Left
  | RoleChanged
  | TitleChanged
  | LanguageChanged
  | Archived
  | FileDeleted
  | Ack
  | Refused;
