// What the server puts into the editor page, and the few helpers that every module of it needs.

import { serverNow } from "./clock";
import type { EditorSettings } from "./editor";

export type Permission = "read" | "write" | "admin" | "owner";

export interface Person {
  id: string;
  username: string;
}

export interface Language {
  key: string;
  name: string;
  file_name: string;
  /** Known once GET /api/execute/languages has answered: what runs here is the workers' knowledge. */
  version?: string | null;
  available?: boolean;
  /** A sentence. */
  unavailable_reason?: string | null;
  limits?: Limits;
}

export interface Limits {
  cpu_ms?: number;
  wall_ms?: number;
  memory_bytes?: number;
  output_bytes?: number;
}

export interface Page {
  session: {
    id: string;
    title: string;
    language: string;
    is_public: boolean;
    /** Whether people may come in without an account. */
    allows_guests: boolean;
    permission: Permission;
    owner: Person;
    version: number;
    /** The visitor of a public session reads the chat and writes nothing. */
    may_chat: boolean;
  };
  user: Person & { hue?: number; is_guest: boolean };
  editor_settings: EditorSettings;
  languages: Language[];
  document: { epoch: string };
}

export function readPage(): Page {
  return JSON.parse(byId("page").textContent ?? "") as Page;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no element #${id}`);
  return element as T;
}

export const canEdit = (permission: Permission): boolean => permission !== "read";
export const canManage = (permission: Permission): boolean => permission === "admin" || permission === "owner";

type Child = Node | string | null | undefined | false;

/** Makes an element. Text is always set as text nodes; "data-", "aria-" and other attributes go through `attributes`. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | boolean | ((event: Event) => void)> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon of the sprite. Decoration only: the control next to it carries the accessible name. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${document.documentElement.dataset.icons ?? ""}#${name}`);
  svg.append(use);
  return svg;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const clockTime = (when: string | Date): string => clock.format(new Date(when));
export const exactTime = (when: string | Date): string => exact.format(new Date(when));

const relative = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto" });

/** "3 minutes ago", by the server's clock; never a time to come. */
export const relativeTime = (when: string | Date): string => inWords(Math.min(0, new Date(when).getTime() - serverNow()));

/** "in 3 days", by the server's clock. */
export const timeUntil = (when: string | Date): string => inWords(new Date(when).getTime() - serverNow());

/** In the largest unit of which there is at least one. */
function inWords(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  const units: [Intl.RelativeTimeFormatUnit, number][] = [
    ["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60],
  ];
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return "just now";
}

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
