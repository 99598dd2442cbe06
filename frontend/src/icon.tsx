// An icon of the sprite, for panels made with Preact; page.ts has the same for the rest.
import type { JSX } from "preact";

/** Decoration only: the control next to it carries the accessible name. */
export function Icon({ name }: { name: string }): JSX.Element {
  return (
    <svg class="icon" aria-hidden="true">
      <use href={`${document.documentElement.dataset.icons ?? ""}#${name}`} />
    </svg>
  );
}
