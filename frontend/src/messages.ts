// The text messages of a session's socket. Made from sessions_app/messages.py: `make messages`.
export type Permission = "owner" | "admin" | "write" | "read";

/** `hue` picks the person's colour: in `hello` and `presence` theirs in this room, elsewhere the same everywhere. */
export interface Speaker {
  id: string;
  username: string;
  hue: number;
}

/** `user` became a member of the session. */
export interface Joined {
  type: "notice";
  by: Speaker;
  kind: "joined";
  user: Speaker;
  permission: Permission;
}

/** `user` is no longer a member: they left if `by` is the same user, otherwise they were removed. */
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

/** The session was archived. The sockets of the room are closed next. */
export interface Archived {
  type: "notice";
  by: Speaker;
  kind: "archived";
}

/** A file was deleted. Pages that show it keep its text on the screen and say who deleted it. */
export interface FileDeleted {
  type: "notice";
  by: Speaker;
  kind: "file_deleted";
  file: string;
  path: string;
}

/** The limits of this socket. Beyond the rate, it is read more slowly. */
export interface HelloLimits {
  frame_bytes: number;
  text_bytes: number;
  updates_per_second: number;
  chat_characters: number;
}

/** The first frame. `measure` says what a moderator's lock or freeze means here; it is empty without one. */
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

/** Somebody in the room. `is_bot` is present for bots only, `is_guest` for guests only. */
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

/** The socket closes at `expires_at` unless it is renewed before. */
export interface TokenExpiring {
  type: "token_expiring";
  expires_at: string;
}

export interface TokenTaken {
  type: "token";
  expires_at: string;
}

/** Servers cannot reach each other: text is saved as usual, but edits by others arrive up to a second late. */
export interface Degraded {
  type: "degraded";
  is_degraded: boolean;
}

/** An error. `ref` names the failed message, if it had one. */
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

/** A moderator's restriction has changed. `detail` describes the current one for everybody; empty without one. */
export interface SessionModerated {
  type: "session.moderated";
  detail: string;
}

/** The state of a run. `run` is as over REST, without the output. */
export interface RunState {
  type: "run.state";
  run: unknown;
}

/** Output of a run. `offset` counts bytes within the stream, so clients notice gaps and can read them over REST. */
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

/** A stored message. `ref` was chosen by the sender, for recognition; others ignore it. */
export interface Chat {
  type: "chat";
  id: string;
  user: Speaker;
  text: string;
  created_at: string;
  ref?: string;
}

/** A moderator removed a message from the chat. */
export interface ChatRemoved {
  type: "chat.removed";
  id: string;
}

/** The first `received` step 2 and update frames of this connection are committed. */
export interface Ack {
  type: "ack";
  received: number;
  seq: number;
}

/** Frame number `received` of this connection was rejected. */
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
