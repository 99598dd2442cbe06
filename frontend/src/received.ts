// What the server says over the socket (messages.ts), as the page takes it.
import type { AnyNotice, PageMessage, Refused } from "./messages";
import type { Person } from "./page";

export interface ChatMessage {
  id: string;
  /** Null when the account is gone. */
  user: (Person & { hue?: number }) | null;
  text: string;
  created_at: string;
  ref?: string | null;
}

type Members<Message> = Message extends unknown ? keyof Message : never;
type Member<Message, Name> = Message extends unknown ? (Name extends keyof Message ? Message[Name] : never) : never;

/** Any notice: what is not in every kind of them may be absent. */
export type Notice = Pick<AnyNotice, keyof AnyNotice> & {
  [Name in Exclude<Members<AnyNotice>, keyof AnyNotice>]?: Member<AnyNotice, Name>;
};

export type ServerMessage = Exclude<PageMessage, AnyNotice> | Notice;

export type RefusedCode = Refused["code"];
