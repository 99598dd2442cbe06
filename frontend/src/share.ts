// The share dialog: the invite links, the people, and whether anyone signed in may read.
import { call, Problem } from "./api";
import { changeField } from "./changes";
import { byId, canManage, icon, make, plural, relativeTime, timeUntil, type Page, type Permission, type Person } from "./page";

interface Invite {
  id: string;
  permission: Permission;
  created_at: string;
  expires_at: string | null;
  uses_left: number | null;
  is_usable: boolean;
  joined_count: number;
  /** Who came through it, newest first; of many the newest only. */
  joined: { user: Person }[];
  /** Told once: when it is made and when it gets a new address. */
  url?: string;
}

interface Collaborator {
  user: Person;
  permission: Permission;
}

const roles: [Permission, string][] = [["read", "Can read"], ["write", "Can edit"], ["admin", "Manages"]];

export class ShareDialog {
  readonly #dialog = byId<HTMLDialogElement>("share");
  readonly #link = byId("share-link");
  readonly #people = byId("share-people");
  readonly #problem = byId("share-problem");
  readonly #guests = byId("share-guest-list");
  readonly #leave = byId("share-leave");
  readonly #transfer = byId("share-transfer");
  readonly #saving = new Set<HTMLInputElement>();
  readonly #path: string;

  constructor(
    private readonly page: Page,
    private readonly announce: (words: string) => void,
    private readonly problem: (words: string) => void,
  ) {
    this.#path = `/api/sessions/${page.session.id}`;
    byId("share-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    byId<HTMLFormElement>("share-add").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#add();
    });
    byId<HTMLInputElement>("share-allow-guests").addEventListener("change", (event) => {
      void this.#switch(event.target as HTMLInputElement, async (allows_guests) => {
        if (!(await changeField(this.page.session, "allows_guests", allows_guests, !allows_guests))) return;
        this.announce(allows_guests ? "People with a link can now join without an account." : "Guests were removed and can no longer join.");
        void this.#try(() => this.#readGuests());
      });
    });
    byId("share-leave-button").addEventListener("click", () => void this.#leaveSession());
    byId<HTMLFormElement>("share-transfer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#handOver();
    });
    byId<HTMLInputElement>("share-public").addEventListener("change", (event) => {
      void this.#switch(event.target as HTMLInputElement, async (is_public) => {
        if (!(await changeField(this.page.session, "is_public", is_public, !is_public))) return;
        this.announce(is_public ? "Anyone signed in can read this session." : "Only people you share this session with can read it.");
      });
    });
  }

  async open(): Promise<void> {
    this.#say("");
    const manages = canManage(this.page.session.permission);
    byId("share-add").hidden = !manages;
    byId("share-leave-button").textContent = "Leave this session";
    byId("share-transfer-button").textContent = "Make owner";
    byId("share-guests").hidden = !manages;
    this.#showSwitches();
    this.#link.replaceChildren();
    this.#dialog.showModal();
    await this.#try(async () => {
      if (manages) await this.#readInvites();
      else this.#showAddress();
      await this.#readPeople();
      if (manages) await this.#readGuests();
    });
  }

  /** Shows the switches as the session has them now. */
  refresh(): void {
    if (this.#dialog.open) this.#showSwitches();
  }

  /** Somebody else let people in, took them out or changed what they may do. */
  peopleChanged(): void {
    if (!this.#dialog.open) return;
    void this.#readPeople().catch(() => undefined);
  }

  #showAddress(): void {
    this.#link.replaceChildren(
      make("p", { class: "hint" }, "People who are in this session can open its address. Only its owner and managers can invite others."),
      this.#copyRow(location.href, "Address of this session"),
    );
  }

  async #readInvites(): Promise<void> {
    this.#showInvites(await list<Invite>(`${this.#path}/invites`));
  }

  /** The links there are, the one that was just made first and with its address, and the form for another. */
  #showInvites(invites: Invite[], made: Invite | null = null): void {
    const known = invites.filter(({ id }) => id !== made?.id);
    const rows = [...(made ? [made] : []), ...known].map((invite) => this.#inviteRow(invite));
    this.#link.replaceChildren(...(rows.length > 0 ? [make("ul", { class: "links" }, ...rows)] : []), this.#inviteForm(rows.length > 0));
  }

  #inviteRow(invite: Invite): HTMLElement {
    const what = invite.permission === "read" ? "View link" : "Edit link";
    const label = `${what}, made ${relativeTime(invite.created_at)}`;
    const tool = (words: string, name: string, act: () => void): HTMLElement =>
      make("button", { type: "button", class: "button small quiet icon-only", "aria-label": `${words}: ${label}`, title: words, click: act }, icon(name));
    const joined = invite.joined_count > 0 && make(
      "details",
      { class: "link-joined" },
      make("summary", {}, `${plural(invite.joined_count, "person", "people")} joined`),
      make("p", { class: "hint" }, namesOf(invite)),
    );
    return make(
      "li",
      { class: "link", ...(invite.is_usable ? {} : { "data-over": "yes" }) },
      make("div", { class: "link-words" }, make("strong", {}, what), make("span", { class: "hint" }, termsOf(invite)), joined),
      make(
        "div",
        { class: "link-tools" },
        invite.is_usable && tool("New address", "rotate-cw", () => void this.#rotateInvite(invite)),
        tool("Turn off", "x", () => void this.#revokeInvite(invite)),
      ),
      invite.url ? this.#copyRow(new URL(invite.url, location.href).href, "Invite link") : "",
      invite.url ? make("p", { class: "hint link-once" }, "Copy it now: the address is shown only once.") : "",
    );
  }

  #inviteForm(hasLinks: boolean): HTMLElement {
    const menu = (label: string, options: [string, string][]): HTMLSelectElement => {
      const made = make("select", { class: "select small", "aria-label": label });
      for (const [value, words] of options) made.append(new Option(words, value));
      return made;
    };
    const permission = menu("What the link allows", [["write", "Can edit"], ["read", "Can view"]]);
    const ends = menu("When the link ends", [["", "No end"], ["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"]]);
    const uses = menu("How many people it lets in", [["", "Any number"], ["1", "1 person"], ["5", "5 people"], ["30", "30 people"]]);
    const form = make(
      "form",
      { class: "row link-form" },
      permission,
      ends,
      uses,
      make("button", { class: hasLinks ? "button" : "button accent" }, icon("link"), "Create invite link"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const number = (field: HTMLSelectElement): number | null => (field.value ? Number(field.value) : null);
      void this.#makeInvite("invites", { permission: permission.value, expires_in: number(ends), uses: number(uses) });
    });
    return form;
  }

  #copyRow(address: string, label: string): HTMLElement {
    const field = make("input", { class: "field", type: "text", readonly: true, value: address, "aria-label": label, focus: () => field.select() });
    const button = make("button", { type: "button", class: "button accent" }, icon("copy"), "Copy");
    button.addEventListener("click", () => {
      field.select();
      void navigator.clipboard.writeText(address).then(
        () => {
          button.replaceChildren(icon("check"), "Copied");
          this.announce("Link copied");
        },
        () => this.#say("The browser did not allow copying. The link is selected: copy it with Ctrl+C."),
      );
    });
    return make("div", { class: "row" }, field, button);
  }

  async #makeInvite(path: string, terms: object = {}): Promise<boolean> {
    return this.#try(async () => {
      const { id, url } = await call<Invite>("POST", `${this.#path}/${path}`, terms);
      const invites = await list<Invite>(`${this.#path}/invites`);
      const made = invites.find((invite) => invite.id === id);
      this.#showInvites(invites, made && url ? { ...made, url } : null);
      this.#link.querySelector<HTMLButtonElement>(".button.accent")?.focus();
    });
  }

  async #rotateInvite(invite: Invite): Promise<void> {
    if (await this.#makeInvite(`invites/${invite.id}/rotate`)) {
      this.announce("The link has a new address. The old one no longer works.");
    }
  }

  async #revokeInvite(invite: Invite): Promise<void> {
    await this.#try(async () => {
      await call("DELETE", `${this.#path}/invites/${invite.id}`);
      await this.#readInvites();
      this.announce("The link is turned off. People who joined with it stay.");
    });
  }

  async #readPeople(): Promise<void> {
    const collaborators = await list<Collaborator>(`${this.#path}/collaborators`);
    const { owner } = this.page.session;
    this.#people.replaceChildren(
      make("li", { class: "person" }, make("span", {}, owner.username, owner.id === this.page.user.id && " (you)"), make("span", { class: "hint" }, "Owner")),
      ...collaborators.filter(({ user }) => user.id !== owner.id).map((collaborator) => this.#personRow(collaborator)),
    );
    const isOneOfThem = collaborators.some(({ user }) => user.id === this.page.user.id);
    this.#leave.hidden = !isOneOfThem && !this.page.user.is_guest;
    const heirs = collaborators.map(({ user }) => user.username);
    this.#transfer.hidden = this.page.session.permission !== "owner" || heirs.length === 0;
    byId<HTMLSelectElement>("share-heir").replaceChildren(...heirs.map((name) => new Option(name, name)));
  }

  async #readGuests(): Promise<void> {
    const isAllowed = this.page.session.allows_guests;
    const guests = isAllowed ? await list<{ user: Person; permission: Permission }>(`${this.#path}/guests`) : [];
    this.#guests.replaceChildren(...guests.map(({ user, permission }) => {
      const words = `Remove ${user.username}`;
      const remove = make("button", { type: "button", class: "button small quiet icon-only", "aria-label": words, title: words }, icon("x"));
      remove.addEventListener("click", () => {
        void this.#try(async () => {
          await call("DELETE", `${this.#path}/guests/${user.id}`);
          await Promise.all([this.#readGuests(), this.#readInvites()]);
          this.announce(`${user.username} was removed, and the invite links were turned off`);
        });
      });
      return make("li", { class: "person" }, make("span", {}, user.username), make("span", { class: "hint" }, roles.find(([key]) => key === permission)?.[1]), remove);
    }));
  }

  #personRow({ user, permission }: Collaborator): HTMLElement {
    const mine = this.page.session.permission;
    const name = make("span", {}, user.username, user.id === this.page.user.id && " (you)");
    // Only the owner makes or unmakes managers.
    const mayChange = mine === "owner" || (mine === "admin" && permission !== "admin");
    if (!mayChange) {
      const words = roles.find(([key]) => key === permission)?.[1] ?? permission;
      return make("li", { class: "person" }, name, make("span", { class: "hint" }, words));
    }
    const menu = roleMenu(permission, mine, `What ${user.username} can do`);
    menu.addEventListener("change", () => {
      void this.#try(async () => {
        await call("PATCH", `${this.#path}/collaborators/${user.id}`, { permission: menu.value });
        this.announce(`${user.username}: ${menu.selectedOptions[0]?.text ?? ""}`);
      });
    });
    const remove = make("button", { type: "button", class: "button small quiet icon-only", "aria-label": `Remove ${user.username}`, title: `Remove ${user.username}` }, icon("x"));
    remove.addEventListener("click", () => {
      void this.#try(async () => {
        await call("DELETE", `${this.#path}/collaborators/${user.id}`);
        await this.#readPeople();
        // The server turns the links off with them: they may know one.
        await this.#readInvites();
        this.announce(`${user.username} was removed, and the invite links were turned off`);
      });
    });
    return make("li", { class: "person" }, name, menu, remove);
  }

  async #add(): Promise<void> {
    const username = byId<HTMLInputElement>("share-username");
    const permission = byId<HTMLSelectElement>("share-permission").value;
    await this.#try(async () => {
      await call("POST", `${this.#path}/collaborators`, { username: username.value.trim(), permission });
      this.announce(`${username.value.trim()} was added`);
      username.value = "";
      await this.#readPeople();
    });
  }

  async #leaveSession(): Promise<void> {
    if (!isSure(byId("share-leave-button"), "Leave for good")) return;
    await this.#try(async () => {
      await call("POST", `${this.#path}/leave`);
      location.assign("/sessions");
    });
  }

  async #handOver(): Promise<void> {
    const username = byId<HTMLSelectElement>("share-heir").value;
    if (!isSure(byId("share-transfer-button"), `Make ${username} the owner`)) return;
    await this.#try(async () => {
      const session = await call<Page["session"]>("POST", `${this.#path}/transfer`, { username });
      this.page.session.owner = session.owner;
      this.#dialog.close();
      this.announce(`${username} owns this session now. You manage it.`);
    });
  }

  /** A press before the server has answered the last one changes nothing. */
  async #switch(control: HTMLInputElement, save: (wanted: boolean) => Promise<void>): Promise<void> {
    const wanted = control.checked;
    if (this.#saving.has(control)) {
      control.checked = !wanted;
      return;
    }
    this.#saving.add(control);
    await this.#try(() => save(wanted));
    this.#saving.delete(control);
    this.#showSwitches();
  }

  #showSwitches(): void {
    const show = (id: string, isOn: boolean, mayChange: boolean): void => {
      const control = byId<HTMLInputElement>(id);
      if (this.#saving.has(control)) return;
      control.checked = isOn;
      control.disabled = !mayChange;
    };
    show("share-public", this.page.session.is_public, canManage(this.page.session.permission));
    show("share-allow-guests", this.page.session.allows_guests, this.page.session.permission === "owner");
  }

  async #try(work: () => Promise<void>): Promise<boolean> {
    this.#say("");
    try {
      await work();
      return true;
    } catch (problem) {
      this.#say(problem instanceof Problem ? problem.message : "That did not work. Nothing was changed. Try again.");
      return false;
    }
  }

  #say(words: string): void {
    if (words && !this.#dialog.open) this.problem(words);
    this.#problem.textContent = words;
    this.#problem.hidden = !words;
  }
}

/** Whether this is the second press; the first one changes what the button says. */
function isSure(button: HTMLElement, words: string): boolean {
  if (button.textContent === words) return true;
  button.textContent = words;
  return false;
}

function termsOf({ expires_at, uses_left, is_usable }: Invite): string {
  if (uses_left === 0) return "Used up";
  if (!is_usable) return "Expired";
  const terms = [
    expires_at ? `Ends ${timeUntil(expires_at)}` : "No end",
    uses_left === null ? "any number of people" : `for ${plural(uses_left, "more person", "more people")}`,
  ];
  return terms.join(", ");
}

function namesOf({ joined, joined_count }: Invite): string {
  const names = joined.map(({ user }) => user.username).join(", ");
  return joined_count > joined.length ? `${names} and ${joined_count - joined.length} before them` : names;
}

function roleMenu(permission: Permission, mine: Permission, label: string): HTMLSelectElement {
  const menu = make("select", { class: "select small", "aria-label": label });
  for (const [key, words] of roles) {
    if (key !== "admin" || mine === "owner") menu.append(new Option(words, key, false, key === permission));
  }
  return menu;
}

async function list<T>(path: string): Promise<T[]> {
  const answer = await call<T[] | { results: T[] }>("GET", path);
  return Array.isArray(answer) ? answer : answer.results;
}
