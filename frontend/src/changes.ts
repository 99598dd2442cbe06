// Changes to the session's own fields. None overwrites what somebody else has changed in the meantime.
import { call, Problem } from "./api";
import type { Page } from "./page";

type Session = Page["session"];
type Field = "title" | "language" | "is_public" | "allows_guests";
export type SessionRow = Pick<Session, Field | "version">;

/** The row may change under a save, in other fields, as often as this. */
const MOST_TRIES = 3;

export function adopt(session: Session, { title, language, is_public, allows_guests, version }: SessionRow): void {
  if (version >= session.version) Object.assign(session, { title, language, is_public, allows_guests, version });
}

/** Saves `value` where the field still is `base`, which the person saw. Returns false where somebody was faster: `session`
 * then holds what they made of it. */
export async function changeField<F extends Field>(session: Session, field: F, value: Session[F], base: Session[F]): Promise<boolean> {
  const path = `/api/sessions/${session.id}`;
  for (let tries = 1; session[field] === base; tries += 1) {
    try {
      adopt(session, await call<SessionRow>("PATCH", path, { [field]: value }, { "If-Match": `"${session.version}"` }));
      return true;
    } catch (failure) {
      if (!(failure instanceof Problem && failure.code === "changed_meanwhile") || tries === MOST_TRIES) throw failure;
      adopt(session, await call<SessionRow>("GET", path));
    }
  }
  return session[field] === value;
}
