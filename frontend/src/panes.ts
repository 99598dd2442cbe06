// The panes of the editor page: the splitter, the tabs beside the editor, and the tabs at the bottom of small screens.
import { byId } from "./page";

type View = "editor" | "output" | "input" | "chat";
const SIDES = ["output", "input", "chat"] as const;

const narrow = matchMedia("(max-width: 899px)");
const SMALLEST = 20;
const LARGEST = 70;

export interface Panes {
  show(view: View): void;
  isShown(view: View): boolean;
  /** Something new is in the output. */
  news(): void;
}

/** `shown` is called with the pane that came to be seen. */
export function setUpPanes(shown: (view: View) => void): Panes {
  const panes = byId("panes");
  const tabs = [...document.querySelectorAll<HTMLButtonElement>("[data-show]")];
  let side: View = "output";

  const show = (view: View): void => {
    panes.dataset.view = view;
    if (view !== "editor") side = view;
    for (const name of SIDES) byId(`${name}-panel`).hidden = side !== name;
    for (const tab of tabs) {
      const isShown = tab.closest(".bottom-tabs") ? tab.dataset.show === view : tab.dataset.show === side;
      tab.setAttribute(tab.getAttribute("role") === "tab" ? "aria-selected" : "aria-pressed", String(isShown));
      if (tab.getAttribute("role") === "tab") tab.tabIndex = isShown ? 0 : -1;
      if (isShown && tab.dataset.show === "output") delete tab.dataset.news;
    }
    if (isVisible(view)) shown(view);
  };
  const isVisible = (view: View): boolean =>
    narrow.matches ? panes.dataset.view === view : view === "editor" || side === view;

  for (const tab of tabs) {
    tab.addEventListener("click", () => show(tab.dataset.show as View));
    tab.addEventListener("keydown", (event) => {
      if (tab.getAttribute("role") !== "tab" || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
      const row = tabs.filter((other) => other.getAttribute("role") === "tab");
      const at = row.indexOf(tab);
      const wanted = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key] ?? at;
      const next = row.at(wanted % row.length);
      if (!next) return;
      event.preventDefault();
      show(next.dataset.show as View);
      next.focus();
    });
  }
  setUpSplitter(panes);
  show("editor");

  return {
    show,
    isShown: isVisible,
    news: () => {
      for (const tab of tabs) {
        if (tab.dataset.show === "output" && !isVisible("output")) tab.dataset.news = "yes";
      }
    },
  };
}

function setUpSplitter(panes: HTMLElement): void {
  const splitter = byId("splitter");
  const set = (percent: number): void => {
    const width = Math.round(Math.min(LARGEST, Math.max(SMALLEST, percent)));
    panes.style.setProperty("--side", `${width}%`);
    splitter.setAttribute("aria-valuenow", String(width));
    localStorage.setItem("side-width", String(width));
  };
  const now = (): number => Number(splitter.getAttribute("aria-valuenow"));
  set(Number(localStorage.getItem("side-width")) || 38);

  splitter.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    splitter.setPointerCapture(event.pointerId);
    const move = (moved: PointerEvent): void => {
      const box = panes.getBoundingClientRect();
      set(((box.right - moved.clientX) / box.width) * 100);
    };
    splitter.addEventListener("pointermove", move);
    splitter.addEventListener("lostpointercapture", () => splitter.removeEventListener("pointermove", move), { once: true });
  });
  splitter.addEventListener("dblclick", () => set(38));
  splitter.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 2, ArrowRight: -2, PageUp: 10, PageDown: -10 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    set(now() + step);
  });
}
