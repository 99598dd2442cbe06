// Small additions to the server's pages. All of them work without it.
import { exactTime, icon, make, relativeTime } from "./page";
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

setUpThemeSwitch();
freshenTimes();
setInterval(freshenTimes, 30_000);
addPasswordToggles();
keepThemeOfProfile();
sendOnce();
