// An icon of the sprite, for panels made with Preact; page.ts has the same for the rest.
import type { JSX } from "preact";

/** It is decoration: the control beside it carries the name. */
export function Icon({ name }: { name: string }): JSX.Element {
  return (
    <svg class="icon" aria-hidden="true">
      <use href={`${document.documentElement.dataset.icons ?? ""}#${name}`} />
    </svg>
  );
}
