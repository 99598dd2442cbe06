// The list of everybody who is here: name, permission, file and line, and a way there. Loaded when it is first opened.
import { reasonOf } from "./api";
import type { Present } from "./messages";
import type { Face } from "./faces";
import { make } from "./page";
import { dress, type PeopleOptions, permissionWords } from "./people";
import type { Whereabouts } from "./whereabouts";

/** From so many on the list can be searched by name. */
const MANY = 8;

class Row {
  readonly element: HTMLElement;
  readonly #avatar = make("span", { class: "avatar" });
  readonly #name = make("b", { dir: "auto" });
  readonly #marks = make("span", { class: "hint" });
  readonly #facts = make("span", { class: "hint" });
  readonly #go: HTMLButtonElement;
  #place: Whereabouts | undefined;
  #drawn = "";

  constructor(goTo: (place: Whereabouts) => void) {
    this.#go = make("button", { type: "button", class: "button small", click: () => this.#place && goTo(this.#place) }, "Go to");
    this.element = make(
      "li",
      { class: "here-row" },
      this.#avatar,
      make("div", { class: "here-words" }, make("span", { class: "here-name" }, this.#name, this.#marks), this.#facts),
      this.#go,
    );
  }

  show(person: Present, face: Face | undefined, place: Whereabouts | undefined, isMe: boolean): void {
    this.#place = place;
    const where = place ? `${place.file.path}, line ${place.line}` : "";
    const drawn = JSON.stringify([person, face, where]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    dress(this.#avatar, person, face);
    this.#name.textContent = person.username;
    this.#marks.textContent = [isMe && "you", person.is_bot && "bot", person.is_guest && "guest"].filter(Boolean).join(", ");
    this.#facts.textContent = [permissionWords[person.permission], where].filter(Boolean).join(" · ");
    this.#go.hidden = isMe || !place;
    this.#go.setAttribute("aria-label", `Go to ${person.username}, ${where}`);
  }
}

export class PeopleList {
  readonly #title = make("h2", { id: "people-title", tabindex: "-1" });
  readonly #field = make("input", {
    class: "field", type: "search", "aria-label": "Find by name", placeholder: "Find by name", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
  });
  readonly #count = make("p", { class: "visually-hidden", role: "status" });
  readonly #none = make("p", { class: "hint here-none" }, "Nobody here has this name.");
  readonly #list = make("ul", { class: "here-list", "aria-labelledby": "people-title" });
  readonly #rows = new Map<string, Row>();
  #names = new Map<string, string>();

  constructor(
    panel: HTMLElement,
    private readonly options: PeopleOptions,
    private readonly goTo: (place: Whereabouts) => void,
  ) {
    panel.replaceChildren(this.#title, this.#field, this.#list, this.#none, this.#count, options.me.is_guest ? nameForm(options) : "");
    this.#field.addEventListener("input", () => this.#filter());
  }

  open(countWords: string): void {
    this.#field.value = "";
    this.#title.textContent = countWords;
    // A screen reader hears the count; and no keyboard comes up on a phone.
    this.#title.focus();
  }

  show(people: Present[], faces: Map<string, Face>, places: Map<string, Whereabouts>, countWords: string): void {
    if (this.#title.textContent !== countWords) this.#title.textContent = countWords;
    this.#names = new Map(people.map(({ id, username }) => [id, username.toLowerCase()]));
    for (const id of this.#rows.keys()) if (!this.#names.has(id)) this.#remove(id);
    for (const [at, person] of people.entries()) {
      let row = this.#rows.get(person.id);
      if (!row) this.#rows.set(person.id, (row = new Row(this.goTo)));
      row.show(person, faces.get(person.id), places.get(person.id), person.id === this.options.me.id);
      // What is moved loses the keyboard's focus, so a row moves only when it must.
      if (this.#list.children[at] !== row.element) this.#list.insertBefore(row.element, this.#list.children[at] ?? null);
    }
    this.#field.hidden = people.length < MANY && !this.#field.value;
    this.#filter();
  }

  #remove(id: string): void {
    const row = this.#rows.get(id)?.element;
    const hadFocus = row?.contains(document.activeElement);
    row?.remove();
    this.#rows.delete(id);
    if (hadFocus) this.#title.focus();
  }

  #filter(): void {
    const wanted = this.#field.value.trim().toLowerCase();
    let count = 0;
    for (const [id, row] of this.#rows) {
      const isFound = this.#names.get(id)?.includes(wanted) === true;
      row.element.hidden = !isFound;
      if (isFound) count += 1;
    }
    this.#none.hidden = count > 0;
    const words = wanted ? `${count} of ${this.#rows.size}` : "";
    if (this.#count.textContent !== words) this.#count.textContent = words;
  }
}

/** For a guest: their own name, without what the server puts behind it. */
function nameForm({ me, rename }: PeopleOptions): HTMLElement {
  const field = make("input", { class: "field", id: "guest-name", maxlength: "15", autocomplete: "off", spellcheck: "false" });
  field.value = me.username.replace(/ \(guest \w+\)$/, "");
  const words = make("p", { class: "hint", role: "status" });
  const form = make("form", { class: "here-rename" }, make("label", { for: "guest-name" }, "Your name here"), field, make("button", { class: "button small" }, "Change"), words);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await rename(field.value);
      words.textContent = "Everybody here sees the new name.";
    } catch (failure) {
      words.textContent = reasonOf(failure, "The name was not changed. Try again.");
    }
  });
  return form;
}
