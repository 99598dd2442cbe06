// The output of one run on the page: blocks of standard output, standard error and typed input, in order of arrival.
// However much a program prints, what the page holds and does at a time is bounded; the end is always shown.
import { AnsiReader } from "./ansi";
import { make } from "./page";
import { type Line, Screen } from "./screen";
import type { StreamName } from "./streams";

type BlockKind = StreamName | "input";

type Waiting = { kind: StreamName; text: string } | { kind: "input"; who: string; text: string } | { kind: "note"; words: string };

const labels: Record<StreamName, string> = { stdout: "", stderr: "stderr", compile: "compiler" };

/** What is visible is weighed in letters of "x"; these cost the browser as much as some of them to lay out. */
const COSTLY_WEIGHT = 4;
const ELEMENT_WEIGHT = 30;
const BUTTON_WEIGHT = 300;
/** Line ends, and everything from Hebrew on: some scripts are shaped at a cost that grows with the square of the length. */
const costly = /[\n\u0590-\uffff]/g;
/** More than this is not kept on the page; Copy still has it. */
const MOST_SHOWN = 300_000;
const KEPT_WHEN_CUT = 200_000;
/** When a part changes, the browser lays out that part only. */
const PART_WEIGHT = 8_000;
/** Characters that are read between two answers of the page. */
const READ_AT_ONCE = 100_000;

/** Links to places in one piece of text of PART_WEIGHT or so. */
const MOST_LINKS = 100;

// Places in the text that a program or compiler names: File "main.py", line 3 / main.c:4:2 / main.js:7
const places = /File "(?:[^"\n]{0,400}\/)?main\.\w{1,20}", line (\d{1,9})|\b[Mm]ain\.\w{1,20}:(\d{1,9})(?::(\d{1,9}))?/g;

interface Part {
  element: HTMLElement;
  weight: number;
}

export class OutputView {
  readonly element: HTMLElement;
  readonly #readers = new Map<StreamName, AnsiReader>();
  #waiting: Waiting[] = [];
  #timer = 0;
  #blockKind: BlockKind | null = null;
  #block: HTMLElement | null = null;
  #screen = new Screen();
  readonly #open = make("span");
  #parts: Part[] = [];
  #shown = 0;
  #isCut = false;
  #copy: string[] = [];

  constructor(
    label: string,
    private readonly goTo: (line: number, column: number) => void,
  ) {
    this.element = make("div", { class: "output", tabindex: "0", role: "region", "aria-label": label });
  }

  get isEmpty(): boolean {
    return this.#copy.length === 0;
  }

  get text(): string {
    return this.#copy.join("");
  }

  write(kind: StreamName, text: string): void {
    if (!text) return;
    this.#copy.push(text);
    const last = this.#waiting.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.#wait({ kind, text });
  }

  writeInput(who: string, text: string): void {
    this.#wait({ kind: "input", who, text });
  }

  note(words: string): void {
    this.#wait({ kind: "note", words });
  }

  #wait(what: Waiting): void {
    this.#waiting.push(what);
    // A hidden tab gets no animation frames, and its output must not pile up.
    this.#timer ||= window.setTimeout(() => this.#flush(), 16);
  }

  /** Shows what waits, at most READ_AT_ONCE characters of it. */
  #flush(): void {
    this.#timer = 0;
    const isAtEnd = this.#isAtEnd();
    let budget = READ_AT_ONCE;
    let taken = 0;
    for (const next of this.#waiting) {
      if (budget <= 0) break;
      if (next.kind === "input") {
        this.#openBlock("input", `${next.who} typed`);
        this.#append([{ text: next.text || "(end of input)", className: "" }]);
        this.#closeBlock();
      } else if (next.kind === "note") {
        this.#closeBlock();
        this.#addPart(this.element, make("p", { class: "output-note" }, next.words), next.words.length);
      } else {
        const end = wholeEnd(next.text, budget);
        this.#read(next.kind, next.text.slice(0, end));
        next.text = next.text.slice(end);
        budget -= end;
        if (next.text) break;
      }
      budget -= ELEMENT_WEIGHT;
      taken += 1;
    }
    this.#waiting.splice(0, taken);
    if (this.#block) this.#open.replaceChildren(...this.#nodesOf(this.#screen.open).nodes);
    this.#trim();
    if (isAtEnd) this.element.scrollTop = this.element.scrollHeight;
    if (this.#waiting.length > 0) this.#timer = window.setTimeout(() => this.#flush(), 16);
  }

  #read(kind: StreamName, text: string): void {
    if (this.#blockKind !== kind) this.#openBlock(kind, labels[kind]);
    let reader = this.#readers.get(kind);
    if (!reader) this.#readers.set(kind, (reader = new AnsiReader()));
    reader.read(text, this.#screen);
    let lines: Line = [];
    let weight = 0;
    for (const line of this.#screen.take()) {
      for (const run of line) {
        const last = lines.at(-1);
        if (last?.className === run.className || (last && run.text === "\n")) last.text += run.text;
        else lines.push({ ...run });
        weight += weightOf(run.text) + (run.className ? ELEMENT_WEIGHT : 0);
      }
      if (weight < PART_WEIGHT) continue;
      this.#append(lines);
      lines = [];
      weight = 0;
    }
    this.#append(lines);
  }

  #openBlock(kind: BlockKind, label: string): void {
    this.#closeBlock();
    this.#blockKind = kind;
    this.#block = make("div", { class: "output-text" });
    this.element.append(
      make("div", { class: `output-block output-${kind}` }, label && make("span", { class: "output-label" }, label), this.#block),
    );
    this.#addPart(this.#block, make("div"), ELEMENT_WEIGHT).append(this.#open);
  }

  #closeBlock(): void {
    if (!this.#block) return;
    this.#open.replaceChildren();
    this.#append(this.#screen.open);
    this.#open.remove();
    this.#screen = new Screen();
    this.#block = null;
    this.#blockKind = null;
  }

  #addPart(parent: HTMLElement, element: HTMLElement, weight: number): HTMLElement {
    parent.append(element);
    this.#parts.push({ element, weight: 0 });
    this.#weigh(weight + ELEMENT_WEIGHT);
    return element;
  }

  #weigh(weight: number): void {
    const part = this.#parts.at(-1);
    if (part) part.weight += weight;
    this.#shown += weight;
  }

  /** Puts finished text before the line that is being written. */
  #append(line: Line): void {
    if (line.length === 0 || !this.#block) return;
    if ((this.#parts.at(-1)?.weight ?? 0) >= PART_WEIGHT) this.#addPart(this.#block, make("div"), 0).append(this.#open);
    const { nodes, weight } = this.#nodesOf(line);
    const before = this.#open.previousSibling;
    if (before instanceof Text && nodes[0] instanceof Text) {
      before.appendData(nodes[0].data);
      nodes.shift();
    }
    this.#open.before(...nodes);
    this.#weigh(weight);
  }

  #nodesOf(line: Line): { nodes: ChildNode[]; weight: number } {
    let weight = 0;
    const nodes = line.flatMap(({ text, className }) => {
      const parts = linked(text, this.goTo);
      const buttons = parts.filter((node) => !(node instanceof Text)).length;
      weight += weightOf(text) + buttons * BUTTON_WEIGHT + (className ? ELEMENT_WEIGHT : 0);
      return className ? [make("span", { class: className }, ...parts)] : parts;
    });
    return { nodes, weight };
  }

  /** Takes the oldest parts out; never the newest, which is the end. */
  #trim(): void {
    if (this.#shown <= MOST_SHOWN) return;
    let count = 0;
    for (; this.#shown > KEPT_WHEN_CUT && count < this.#parts.length - 1; count += 1) {
      const { element, weight } = this.#parts[count] as Part;
      this.#shown -= weight;
      const block = element.closest(".output-block");
      element.remove();
      if (block && !block.querySelector(".output-text")?.hasChildNodes()) block.remove();
    }
    this.#parts.splice(0, count);
    if (!this.#isCut) this.element.prepend(make("p", { class: "output-note" }, "The beginning is not shown here. Copy takes the whole output."));
    this.#isCut = true;
  }

  #isAtEnd(): boolean {
    return this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 32;
  }
}

/** The end of a piece of at most `length` that cuts no character in two. */
function wholeEnd(text: string, length: number): number {
  const last = text.charCodeAt(length - 1);
  return length < text.length && last >= 0xd800 && last < 0xdc00 ? length + 1 : Math.min(length, text.length);
}

const weightOf = (text: string): number => text.length + (COSTLY_WEIGHT - 1) * (text.match(costly)?.length ?? 0);

function linked(text: string, goTo: (line: number, column: number) => void): ChildNode[] {
  const nodes: ChildNode[] = [];
  let at = 0;
  for (const match of text.matchAll(places)) {
    if (nodes.length >= 2 * MOST_LINKS) break;
    if (match.index > at) nodes.push(document.createTextNode(text.slice(at, match.index)));
    const line = Number(match[1] ?? match[2]);
    const column = Number(match[3] ?? 1);
    nodes.push(make("button", { type: "button", class: "output-place", click: () => goTo(line, column) }, match[0]));
    at = match.index + match[0].length;
  }
  if (at < text.length) nodes.push(document.createTextNode(text.slice(at)));
  return nodes;
}
