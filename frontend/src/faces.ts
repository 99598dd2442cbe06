// How people are told apart in one room: by the hue that the server gives each, and by two letters, worked out from the
// list of who is here, so that every page shows the same.
import type { Person } from "./page";

export interface Face {
  hue: number;
  initials: string;
}

/** As many as frontend/styles/tokens.css has. */
const HUES = 8;

/** The hue of a person by themselves, as the server gives it (accounts/models.py). */
export const ownHue = (id: string): number => (parseInt(id.slice(-1), 16) || 0) % HUES;

/** No two people share letters while there are enough; the person whose id comes first gets the usual ones. */
export function facesOf(people: readonly (Person & { hue: number })[]): Map<string, Face> {
  const taken = new Set<string>();
  const inOrder = [...people].sort((one, other) => (one.id < other.id ? -1 : 1));
  return new Map(inOrder.map(({ id, username, hue }) => {
    const initials = freeInitials(username, taken);
    taken.add(initials);
    return [id, { hue, initials }];
  }));
}

/** The first two letters, as on the dashboard (templates/partials/avatars.html), or the first two others that are free. */
function freeInitials(name: string, taken: ReadonlySet<string>): string {
  const usual = initialsOf(name);
  if (!taken.has(usual)) return usual;
  const letters = [...name.toUpperCase()].filter((letter) => /[\p{L}\p{N}]/u.test(letter));
  const [first = "?", ...rest] = letters;
  for (const letter of rest.reverse()) if (!taken.has(first + letter)) return first + letter;
  for (let number = 2; number < 100; number += 1) {
    const initials = number < 10 ? `${first}${number}` : String(number);
    if (!taken.has(initials)) return initials;
  }
  return usual;
}

export const initialsOf = (name: string): string => [...name].slice(0, 2).join("").toUpperCase();
