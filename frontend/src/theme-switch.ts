// The theme button: system, light, dark in turn. theme.ts applies the kept choice before the first paint.
import { icon } from "./page";

type Theme = "system" | "light" | "dark";

const turn: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const icons: Record<Theme, string> = { system: "monitor", light: "sun", dark: "moon" };
const words: Record<Theme, string> = { system: "system", light: "light", dark: "dark" };

export function keepTheme(theme: string): void {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Storage may be blocked: the choice then holds for this page only.
  }
}

export function setUpThemeSwitch(): void {
  const button = document.getElementById("theme-switch");
  if (!button) return;
  let theme = (document.documentElement.dataset.theme ?? "system") as Theme;
  const show = () => {
    button.replaceChildren(icon(icons[theme]));
    const name = `Theme: ${words[theme]}. Switch to ${words[turn[theme]]}`;
    button.setAttribute("aria-label", name);
    button.title = name;
  };
  button.addEventListener("click", () => {
    theme = turn[theme];
    keepTheme(theme);
    show();
  });
  button.hidden = false;
  show();
}
