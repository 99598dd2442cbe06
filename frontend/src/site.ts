// Small additions to the server's pages. All of them work without it.
import { call } from "./api";
import { noteTimeOfPage } from "./clock";
import { type CopyName, listCopies, LOGGED_OUT_CHANNEL, remove, unsavedIn } from "./copies";
import { forgetDrafts } from "./drafts";
import { byId, exactTime, icon, make, relativeTime, type Language } from "./page";
import { keepTheme, setUpThemeSwitch } from "./theme-switch";

function freshenTimes(): void {
  for (const time of document.querySelectorAll<HTMLTimeElement>("time[data-relative]")) {
    time.textContent = relativeTime(time.dateTime);
    time.title = exactTime(time.dateTime);
  }
}

/** A password field gets a button that shows what was typed. */
function addPasswordToggles(): void {
  for (const field of document.querySelectorAll<HTMLInputElement>("input[type=password]")) {
    const button = make("button", { type: "button", class: "field-toggle", "aria-controls": field.id });
    const show = (isShown: boolean) => {
      field.type = isShown ? "text" : "password";
      button.replaceChildren(icon(isShown ? "eye-off" : "eye"));
      button.setAttribute("aria-label", isShown ? "Hide password" : "Show password");
    };
    button.addEventListener("click", () => show(field.type === "password"));
    const wrap = make("span", { class: "field-with-toggle" });
    field.before(wrap);
    wrap.append(field, button);
    show(false);
  }
}

function keepThemeOfProfile(): void {
  const form = document.getElementById("profile-form");
  form?.addEventListener("submit", () => {
    const theme = new FormData(form as HTMLFormElement).get("theme");
    if (typeof theme === "string") keepTheme(theme);
  });
}

/** A second press of a button that changes something would do it twice. */
function sendOnce(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form[method=post]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
  }
  // The back button may bring the page as it was left.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form")) delete form.dataset.sent;
  });
}

/** Marks the languages that can be written here, not run, and puts them behind the others. */
async function placeLanguages(): Promise<void> {
  const common = document.getElementById("common-languages");
  const more = document.getElementById("more-languages");
  if (!common || !more) return;
  const languages = await call<Language[]>("GET", "/api/execute/languages");
  const chips = [...common.children, ...more.children];
  const absent = chips.flatMap((chip) => {
    const key = chip.querySelector("input")?.value;
    const language = languages.find((row) => row.key === key);
    return language?.available === false ? [{ chip, language }] : [];
  });
  // Where nothing can run, as before the first worker has looked, nothing is better than the rest.
  if (absent.length === 0 || absent.length === chips.length) return;
  for (const { chip, language } of absent) {
    chip.classList.add("unavailable");
    chip.setAttribute("title", `You can write ${language.name} here, but this server cannot run it.`);
    chip.lastElementChild?.append(make("span", { class: "visually-hidden" }, " (cannot be run on this server)"));
  }
  const focused = document.activeElement;
  more.append(...absent.map(({ chip }) => chip));
  const summary = more.parentElement?.querySelector("summary span");
  if (summary) summary.textContent = `${more.childElementCount} more languages`;
  if (!common.querySelector("input:checked")) common.querySelector("input")?.click();
  if (focused instanceof HTMLElement) focused.focus();
}

/** Offers to start with what the chosen language has. */
function offerTemplates(): void {
  const menu = document.getElementById("new-template") as HTMLSelectElement | null;
  if (!menu) return;
  const form = menu.form as HTMLFormElement;
  const show = (): void => {
    const chosen = form.querySelector<HTMLInputElement>("input[name=language]:checked");
    const offered = (chosen?.dataset.templates ?? "").split(" ");
    for (const option of menu.options) option.hidden = option.disabled = !offered.includes(option.value);
    if (menu.selectedOptions[0]?.disabled) menu.value = "hello";
  };
  form.addEventListener("change", show);
  show();
}

/** Logging out, perhaps at a shared computer, leaves nothing on it; the person is first told about unsaved changes. */
function takeCopiesAlong(): void {
  const userId = document.documentElement.dataset.user;
  if (!userId) return;
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-logs-out]")) {
    const isConfirmed = form.hasAttribute("data-confirmed");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void (async () => {
        const copies = await listCopies(userId);
        if (!isConfirmed && (await withUnsaved(copies)).length > 0) {
          location.assign("/logout");
          return;
        }
        new BroadcastChannel(LOGGED_OUT_CHANNEL).postMessage(userId);
        forgetDrafts(userId);
        await Promise.race([remove(copies), new Promise((resolve) => setTimeout(resolve, 2_000))]);
        form.submit();
      })();
    });
  }
  void tellUnsaved(userId);
  void removeWithAccess(userId);
}

async function withUnsaved(copies: CopyName[]): Promise<CopyName[]> {
  const counts = await Promise.all(copies.map(({ name }) => unsavedIn(name).catch(() => 0)));
  return copies.filter((_, index) => (counts[index] ?? 0) > 0);
}

/** On the page that asks whether to log out: the sessions whose last changes are on this device only. */
async function tellUnsaved(userId: string): Promise<void> {
  const place = document.getElementById("unsaved");
  if (!place) return;
  const sessions = new Set((await withUnsaved(await listCopies(userId))).map(({ sessionId }) => sessionId));
  if (sessions.size === 0) return;
  place.hidden = false;
  const links = [...sessions].map((id) => make("li", {}, make("a", { href: `/sessions/${id}` }, "Open the session to save it")));
  byId("unsaved-sessions").replaceChildren(...links);
}

/** A session that is not there for this person leaves nothing on their device either. */
async function removeWithAccess(userId: string): Promise<void> {
  const sessionId = /^\/sessions\/([0-9a-f-]{36})\/?$/.exec(location.pathname)?.[1];
  if (!sessionId || document.documentElement.dataset.status !== "404") return;
  forgetDrafts(userId, sessionId);
  await remove(await listCopies(userId, sessionId));
}

noteTimeOfPage();
setUpThemeSwitch();
takeCopiesAlong();
offerTemplates();
void placeLanguages().catch(() => undefined);
freshenTimes();
setInterval(freshenTimes, 30_000);
addPasswordToggles();
keepThemeOfProfile();
sendOnce();
