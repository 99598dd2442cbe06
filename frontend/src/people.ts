// Who is here: one avatar per person, in the hue that the server gave them.
import type { Awareness } from "y-protocols/awareness";
import type { AwarenessUser } from "./carets";
import type { PresentPerson } from "./collab";
import { icon, make, plural, type Permission, type Person } from "./page";

const MOST_SHOWN = 5;

export const permissionWords: Record<Permission, string> = {
  read: "can read",
  write: "can edit",
  admin: "manages",
  owner: "owner",
};

export class People {
  #present: PresentPerson[] = [];

  #awareness: Awareness | null = null;
  #drawn = "";

  constructor(
    private readonly list: HTMLElement,
    private readonly me: Person & { hue?: number },
    private readonly show: (clientId: number) => void,
  ) {}

  watch(awareness: Awareness): void {
    this.#awareness = awareness;
    awareness.on("change", () => this.#draw());
  }

  get count(): number {
    return this.#present.length;
  }

  get countWords(): string {
    return this.count < 2 ? "Only you here" : `${plural(this.count, "person", "people")} here`;
  }

  /** Returns what to announce: who came and who left. */
  take(people: PresentPerson[]): string {
    const before = new Map(this.#present.map((person) => [person.id, person.username]));
    const wasEmpty = before.size === 0;
    const unique = new Map(people.map((person) => [person.id, person]));
    this.#present = [...unique.values()].sort((one, other) => Number(other.id === this.me.id) - Number(one.id === this.me.id));
    this.#draw();
    if (wasEmpty) return "";
    const came = this.#present.filter((person) => !before.has(person.id)).map((person) => `${person.username} joined`);
    const left = [...before].filter(([id]) => !unique.has(id)).map(([, name]) => `${name} left`);
    return [...came, ...left].slice(0, 3).join(". ");
  }

  #draw(): void {
    const hues = new Map<string, { hue: number; client: number }>();
    for (const [client, state] of (this.#awareness?.getStates() ?? new Map()) as Map<number, { user?: AwarenessUser }>) {
      if (state.user) hues.set(state.user.id, { hue: state.user.hue, client });
    }
    const shown = this.#present.slice(0, MOST_SHOWN);
    // Cursors move all the time, and a button that is made anew loses the keyboard's focus.
    const picture = JSON.stringify([this.#present, shown.map(({ id }) => hues.get(id))]);
    if (picture === this.#drawn) return;
    this.#drawn = picture;
    const items = shown.map((person) => {
      const seen = hues.get(person.id);
      const isMe = person.id === this.me.id;
      const hue = isMe ? this.me.hue : seen?.hue;
      const words = `${person.username}${isMe ? " (you)" : person.is_bot ? " (bot)" : ""}, ${permissionWords[person.permission]}`;
      const avatar = make("button", {
        type: "button",
        class: `avatar ${hue === undefined ? "" : `hue-${hue}`}`,
        title: isMe || !seen ? words : `${words}. Click to see where they are`,
        "aria-label": words,
        click: () => seen && !isMe && this.show(seen.client),
      }, make("span", { "aria-hidden": "true" }, initials(person.username)), person.is_bot ? icon("bot") : person.permission === "read" && icon("eye"));
      if (person.is_bot) avatar.dataset.bot = "yes";
      return make("li", {}, avatar);
    });
    if (this.#present.length > MOST_SHOWN) {
      const rest = this.#present.slice(MOST_SHOWN).map((person) => person.username).join(", ");
      items.push(make("li", {}, make("span", { class: "avatar", title: rest }, `+${this.#present.length - MOST_SHOWN}`)));
    }
    this.list.replaceChildren(...items);
  }
}

/** The same two letters as on the dashboard (templates/partials/avatars.html). */
const initials = (name: string): string => name.slice(0, 2).toUpperCase();
