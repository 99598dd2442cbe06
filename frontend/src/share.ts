// The share dialog: the invite link, the people, and whether anyone signed in may read.
import { call, Problem } from "./api";
import { byId, canManage, icon, make, relativeTime, type Page, type Permission, type Person } from "./page";

interface Invite {
  id: string;
  permission: Permission;
  created_at: string;
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
  readonly #path: string;

  constructor(
    private readonly page: Page,
    private readonly permission: () => Permission,
    private readonly announce: (words: string) => void,
  ) {
    this.#path = `/api/sessions/${page.session.id}`;
    byId("share-open").addEventListener("click", () => void this.open());
    byId("share-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    byId<HTMLFormElement>("share-add").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#add();
    });
    byId<HTMLInputElement>("share-public").addEventListener("change", (event) => {
      void this.#setPublic(event.target as HTMLInputElement);
    });
  }

  async open(): Promise<void> {
    this.#say("");
    const manages = canManage(this.permission());
    byId("share-add").hidden = !manages;
    byId<HTMLInputElement>("share-public").disabled = !manages;
    byId<HTMLInputElement>("share-public").checked = this.page.session.is_public;
    this.#link.replaceChildren();
    this.#dialog.showModal();
    await this.#try(async () => {
      if (manages) this.#showInvite((await list<Invite>(`${this.#path}/invites`))[0] ?? null);
      else this.#showAddress();
      await this.#readPeople();
    });
  }

  #showAddress(): void {
    this.#link.replaceChildren(
      make("p", { class: "hint" }, "People who are in this session can open its address. Only its owner and managers can invite others."),
      this.#copyRow(location.href, "Address of this session"),
    );
  }

  #showInvite(invite: Invite | null): void {
    if (!invite) {
      this.#link.replaceChildren(
        make("p", { class: "hint" }, "Whoever opens the link and signs in can edit. You can turn it off at any time."),
        make("button", { type: "button", class: "button accent", click: () => void this.#createInvite() }, icon("link"), "Create invite link"),
      );
      return;
    }
    const tools = make(
      "div",
      { class: "row" },
      make("button", { type: "button", class: "button", click: () => void this.#createInvite() }, icon("rotate-cw"), "New link"),
      make("button", { type: "button", class: "button danger", click: () => void this.#revokeInvite(invite) }, icon("x"), "Turn link off"),
    );
    const words = invite.url
      ? "Copy the link now: it is shown only once. Whoever opens it and signs in can edit."
      : `A link made ${relativeTime(invite.created_at)} lets people edit. It was shown once; make a new one if you need it again. The old one stops working then.`;
    this.#link.replaceChildren(
      make("p", { class: "hint" }, words),
      invite.url ? this.#copyRow(new URL(invite.url, location.href).href, "Invite link") : "",
      tools,
    );
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

  async #createInvite(): Promise<void> {
    await this.#try(async () => {
      this.#showInvite(await call<Invite>("POST", `${this.#path}/invites`, {}));
      this.#link.querySelector<HTMLButtonElement>(".button.accent")?.focus();
    });
  }

  async #revokeInvite(invite: Invite): Promise<void> {
    await this.#try(async () => {
      await call("DELETE", `${this.#path}/invites/${invite.id}`);
      this.#showInvite(null);
      this.announce("The link is off. People who joined with it stay.");
    });
  }

  async #readPeople(): Promise<void> {
    const collaborators = await list<Collaborator>(`${this.#path}/collaborators`);
    const { owner } = this.page.session;
    this.#people.replaceChildren(
      make("li", { class: "person" }, make("span", {}, owner.username), make("span", { class: "hint" }, "Owner")),
      ...collaborators.filter(({ user }) => user.id !== owner.id).map((collaborator) => this.#personRow(collaborator)),
    );
  }

  #personRow({ user, permission }: Collaborator): HTMLElement {
    const mine = this.permission();
    const name = make("span", {}, user.username, user.id === this.page.user.id && " (you)");
    // Only the owner makes or unmakes managers.
    const mayChange = mine === "owner" || (mine === "admin" && permission !== "admin");
    if (!mayChange) {
      const words = roles.find(([key]) => key === permission)?.[1] ?? permission;
      return make("li", { class: "person" }, name, make("span", { class: "hint" }, words));
    }
    const menu = roleMenu(permission, mine, `What ${user.username} may do`);
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
        // The server turns the link off with them: they may know it.
        this.#showInvite(null);
        this.announce(`${user.username} was removed, and the invite link was turned off`);
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

  async #setPublic(control: HTMLInputElement): Promise<void> {
    const wanted = control.checked;
    const done = await this.#try(async () => {
      await call("PATCH", this.#path, { is_public: wanted });
      this.page.session.is_public = wanted;
    });
    if (!done) control.checked = !wanted;
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
    this.#problem.textContent = words;
    this.#problem.hidden = !words;
  }
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
