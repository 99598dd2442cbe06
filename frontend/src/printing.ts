// Printing: the editor draws only the lines that are on the screen, so what is printed is a sheet with all of them.
import { make } from "./page";

export interface Printed {
  title: string;
  path: string;
  text: string;
}

export function setUpPrinting(shown: () => Printed): void {
  let sheet: HTMLElement | null = null;
  addEventListener("beforeprint", () => {
    const { title, path, text } = shown();
    const lines = text.split("\n").map((line) => make("li", {}, line));
    sheet?.remove();
    sheet = make("article", { class: "sheet" }, make("h1", {}, title), make("p", {}, path), make("ol", {}, ...lines));
    document.body.append(sheet);
  });
  addEventListener("afterprint", () => sheet?.remove());
}
