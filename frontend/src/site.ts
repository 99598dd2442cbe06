// Small additions to the server's pages. All of them work without it.
import { call } from "./api";
import { exactTime, icon, make, relativeTime, type Language } from "./page";
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

/** Marks the languages that can be written here, not run. */
async function markLanguages(): Promise<void> {
  const chips = document.querySelectorAll<HTMLInputElement>(".chip input[name=language]");
  if (chips.length === 0) return;
  const languages = await call<Language[]>("GET", "/api/execute/languages");
  for (const chip of chips) {
    const language = languages.find(({ key }) => key === chip.value);
    if (language?.available !== false) continue;
    chip.parentElement?.classList.add("unavailable");
    chip.parentElement?.setAttribute("title", `You can write ${language.name} here; this server cannot run it.`);
    chip.nextElementSibling?.append(make("span", { class: "visually-hidden" }, " (cannot be run on this server)"));
  }
}

setUpThemeSwitch();
void markLanguages().catch(() => undefined);
freshenTimes();
setInterval(freshenTimes, 30_000);
addPasswordToggles();
keepThemeOfProfile();
sendOnce();
