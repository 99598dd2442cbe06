// Calls to the REST API with the page's cookie. Every failure is a Problem whose message can be shown as it is.
import { noteServerTime } from "./clock";

export class Problem extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
  ) {
    super(message);
  }
}

/** The words for a failed call; `otherwise` if the server did not answer it. */
export const reasonOf = (failure: unknown, otherwise: string): string => (failure instanceof Problem ? failure.message : otherwise);

interface ProblemBody {
  title?: string;
  detail?: string;
  code?: string;
  errors?: Record<string, { message: string; code: string }[]>;
}

/** Read at every call: signing in again in another tab changes it, and this page stays open. */
const csrfToken = (): string => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? "";

export async function call<T>(
  method: "GET" | "POST" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
  conditions: { "If-Match"?: string } = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...conditions };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sentAt = performance.now();
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Problem("The server did not answer. Your text is still in this page. Try again when you are connected.", 0, "unreachable");
  }
  noteServerTime(response.headers.get("Date"), sentAt, performance.now());
  if (!response.ok) throw await problemOf(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

async function problemOf(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => ({}))) as ProblemBody;
  const first = Object.values(body.errors ?? {}).flat()[0];
  const words = first?.message ?? body.detail ?? body.title ?? `The server answered ${response.status}. Nothing was changed.`;
  return new Problem(words, response.status, body.code ?? "unknown");
}
