// Who is here: a few avatars in the header, and everybody in a list that opens by its button.
import { facesOf, initialsOf, ownHue, type Face } from "./faces";
import type { Present } from "./messages";
import { problem } from "./notices";
import { byId, icon, make, plural, type Page, type Permission } from "./page";
import type { Whereabouts } from "./whereabouts";

const MOST_SHOWN = 5;
/** How often the open list looks where everybody is. */
const LOOK_MS = 500;

export const permissionWords: Record<Permission, string> = {
  read: "can read",
  write: "can edit",
  admin: "manages",
  owner: "owner",
};

export interface PeopleOptions {
  me: Page["user"];
  /** Where everybody is now, by the id of the person. */
  whereabouts(): Map<string, Whereabouts>;
  goTo(place: Whereabouts): void;
  /** Names or hues have changed, so everything else that shows them has to be redrawn. */
  changed(names: ReadonlyMap<string, string>): void;
  /** Renames the guest at this page. Rejects with the reason. */
  rename(name: string): Promise<void>;
}

export class People {
  readonly #avatars = byId("people");
  readonly #panel = byId("people-panel");
  #present: Present[] = [];
  #faces = new Map<string, Face>();
  #showList: typeof import("./people-list").showPeople | null = null;
  #looking = 0;

  constructor(private readonly options: PeopleOptions) {
    this.#panel.addEventListener("toggle", (event) => void this.#toggled((event as ToggleEvent).newState === "open"));
  }

  get count(): number {
    return this.#present.length;
  }

  get countWords(): string {
    return this.count < 2 ? "Only you here" : `${plural(this.count, "person", "people")} here`;
  }

  /** The hue of a person in this room; for somebody who is not here, their own. */
  hueOf(id: string): number {
    return this.#faces.get(id)?.hue ?? ownHue(id);
  }

  /** Returns what to announce: who came and who left. */
  take(people: Present[]): string {
    const { me } = this.options;
    const before = new Map(this.#present.map((person) => [person.id, person.username]));
    const unique = new Map(people.map((person) => [person.id, person]));
    this.#present = [...unique.values()].sort((one, other) => Number(other.id === me.id) - Number(one.id === me.id));
    this.#faces = facesOf(this.#present);
    this.#draw();
    this.#look();
    me.username = unique.get(me.id)?.username ?? me.username;
    this.options.changed(new Map(people.map(({ id, username }) => [id, username])));
    if (before.size === 0) return "";
    const came = this.#present.filter((person) => !before.has(person.id)).map((person) => `${person.username} joined`);
    const left = [...before].filter(([id]) => !unique.has(id)).map(([, name]) => `${name} left`);
    const renamed = this.#present.flatMap(({ id, username }) => {
      const old = before.get(id);
      return old && old !== username ? [`${old} is now called ${username}`] : [];
    });
    return [...came, ...left, ...renamed].slice(0, 3).join(". ");
  }

  #draw(): void {
    const more = this.count - MOST_SHOWN;
    byId("people-more").textContent = more > 0 ? `+${more}` : "";
    byId("people-all").textContent = String(this.count);
    byId("people-open").hidden = this.count === 0;
    const focused = this.#avatars.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.id : undefined;
    this.#avatars.replaceChildren(...this.#present.slice(0, MOST_SHOWN).map((person) => make("li", {}, this.#avatar(person))));
    if (focused) this.#avatars.querySelector<HTMLElement>(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #avatar(person: Present): HTMLElement {
    const isMe = person.id === this.options.me.id;
    const words = `${person.username}${isMe ? " (you)" : person.is_bot ? " (bot)" : ""}, ${permissionWords[person.permission]}`;
    const button = make("button", {
      type: "button",
      class: "avatar",
      title: isMe ? words : `${words}. Click to see where they are`,
      "aria-label": words,
      "data-id": person.id,
      click: () => {
        const place = isMe ? undefined : this.options.whereabouts().get(person.id);
        if (place) this.options.goTo(place);
      },
    });
    dress(button, person, this.#faces.get(person.id));
    return button;
  }

  async #toggled(isOpen: boolean): Promise<void> {
    clearInterval(this.#looking);
    if (!isOpen) {
      this.#showList?.(this.#panel, null);
      return;
    }
    try {
      this.#showList ??= (await import("./people-list")).showPeople;
    } catch {
      this.#panel.hidePopover();
      problem("The list could not be loaded. Check your connection and try again.");
      return;
    }
    // It may have been closed, and opened again, while the list was loaded.
    if (!this.#panel.matches(":popover-open")) return;
    clearInterval(this.#looking);
    this.#looking = window.setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  #look(): void {
    if (!this.#panel.matches(":popover-open")) return;
    const { me, whereabouts, goTo, rename } = this.options;
    this.#showList?.(this.#panel, {
      people: this.#present,
      faces: this.#faces,
      places: whereabouts(),
      countWords: this.countWords,
      me,
      goTo: (place) => {
        this.#panel.hidePopover();
        goTo(place);
      },
      rename,
    });
  }
}

/** What a person's avatar looks like: hue, letters and mark. */
export function lookOf(person: Present, face: Face | undefined): { className: string; letters: string; mark: string } {
  return {
    className: `avatar hue-${face?.hue ?? ownHue(person.id)}`,
    letters: face?.initials ?? initialsOf(person.username),
    mark: person.is_bot ? "bot" : person.permission === "read" ? "eye" : "",
  };
}

function dress(avatar: HTMLElement, person: Present, face: Face | undefined): void {
  const { className, letters, mark } = lookOf(person, face);
  avatar.className = className;
  if (person.is_bot) avatar.dataset.bot = "yes";
  avatar.replaceChildren(make("span", { "aria-hidden": "true" }, letters), ...(mark ? [icon(mark)] : []));
}
