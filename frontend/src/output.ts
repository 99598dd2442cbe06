// The output of one run on the page: blocks of standard output, standard error and typed input, in order of arrival.
import { AnsiReader } from "./ansi";
import { make } from "./page";
import type { StreamName } from "./streams";

type BlockKind = StreamName | "input";

const labels: Record<StreamName, string> = { stdout: "", stderr: "stderr", compile: "compiler" };

/** More characters than this are not kept on the page; Copy still has them. */
const MOST_SHOWN = 300_000;
const KEPT_WHEN_CUT = 200_000;

// Places in the text that a program or compiler names: File "main.py", line 3 / main.c:4:2 / main.js:7
const places = /File "(?:[^"\n]*\/)?main\.\w+", line (\d+)|\b[Mm]ain\.\w+:(\d+)(?::(\d+))?/g;

export class OutputView {
  readonly element: HTMLElement;
  #readers = new Map<BlockKind, AnsiReader>();
  #waiting: { kind: StreamName; text: string }[] = [];
  #frame = 0;
  #block: HTMLElement | null = null;
  #blockKind: BlockKind | null = null;
  /** The nodes of the line that is being written, which a carriage return takes back. */
  #line: ChildNode[] = [];
  #returned = false;
  #shown = 0;
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
    else this.#waiting.push({ kind, text });
    // A hidden tab gets no animation frames, and its output must not pile up.
    if (!this.#frame) this.#frame = window.setTimeout(() => this.#flush(), 16);
  }

  writeInput(who: string, text: string): void {
    this.#flush();
    this.#open("input", `${who} typed`).append(document.createTextNode(text || "(end of input)"));
    this.#block = null;
    this.#blockKind = null;
    this.#stickToEnd();
  }

  note(words: string): void {
    this.#flush();
    this.#block = null;
    this.#blockKind = null;
    this.element.append(make("p", { class: "output-note" }, words));
  }

  #flush(): void {
    clearTimeout(this.#frame);
    this.#frame = 0;
    const stick = this.#isAtEnd();
    for (const { kind, text } of this.#waiting) {
      const block = this.#blockKind === kind && this.#block ? this.#block : this.#open(kind, labels[kind]);
      let reader = this.#readers.get(kind);
      if (!reader) this.#readers.set(kind, (reader = new AnsiReader()));
      for (const piece of reader.read(text.slice(-MOST_SHOWN))) this.#put(block, piece.text, piece.className);
    }
    this.#waiting = [];
    this.#trim();
    if (stick) this.#stickToEnd();
  }

  #open(kind: BlockKind, label: string): HTMLElement {
    this.#line = [];
    this.#returned = false;
    this.#blockKind = kind;
    this.#block = make("div", { class: "output-text" });
    this.element.append(
      make("div", { class: `output-block output-${kind}` }, label && make("span", { class: "output-label" }, label), this.#block),
    );
    return this.#block;
  }

  #put(block: HTMLElement, text: string, className: string): void {
    for (let rest = text; rest; ) {
      if (this.#returned && !rest.startsWith("\n")) {
        for (const node of this.#line) node.remove();
        this.#line = [];
      }
      this.#returned = false;
      const end = rest.indexOf("\r");
      const segment = end < 0 ? rest : rest.slice(0, end);
      const lineStart = segment.lastIndexOf("\n") + 1;
      if (lineStart > 0) {
        this.#append(block, segment.slice(0, lineStart), className, true);
        this.#line = [];
      }
      this.#append(block, segment.slice(lineStart), className, false);
      if (end < 0) return;
      this.#returned = true;
      rest = rest.slice(end + 1);
    }
  }

  #append(block: HTMLElement, text: string, className: string, isWholeLines: boolean): void {
    if (!text) return;
    this.#shown += text.length;
    const nodes = linked(text, this.goTo);
    const last = block.lastChild;
    // Plain text grows in one node: a node for each line would make a long output slow.
    if (!className && nodes[0] instanceof Text && nodes.length === 1 && last instanceof Text && (isWholeLines || this.#line.includes(last))) {
      last.appendData(text);
      return;
    }
    const added: ChildNode[] = className ? [make("span", { class: className }, ...nodes)] : nodes;
    block.append(...added);
    this.#line.push(...added);
  }

  #trim(): void {
    if (this.#shown <= MOST_SHOWN) return;
    const walker = document.createTreeWalker(this.element, NodeFilter.SHOW_TEXT);
    const spare: Text[] = [];
    let excess = this.#shown - KEPT_WHEN_CUT;
    while (excess > 0 && walker.nextNode()) {
      const node = walker.currentNode as Text;
      if (node.parentElement?.closest(".output-label, .output-note")) continue;
      if (node.length > excess) {
        const lineStart = node.data.indexOf("\n", excess) + 1 || excess;
        node.deleteData(0, lineStart);
        this.#shown -= lineStart;
        break;
      }
      excess -= node.length;
      this.#shown -= node.length;
      spare.push(node);
    }
    for (const node of spare) node.remove();
    for (const block of this.element.querySelectorAll(".output-block")) {
      if (block !== this.#block?.parentElement && !block.querySelector(".output-text")?.textContent) block.remove();
    }
    this.element.querySelector(".output-cut")?.remove();
    this.element.prepend(make("p", { class: "output-note output-cut" }, "The beginning is not shown here. Copy takes all of it."));
  }

  #isAtEnd(): boolean {
    return this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 32;
  }

  #stickToEnd(): void {
    this.element.scrollTop = this.element.scrollHeight;
  }
}

function linked(text: string, goTo: (line: number, column: number) => void): ChildNode[] {
  const nodes: ChildNode[] = [];
  let at = 0;
  for (const match of text.matchAll(places)) {
    if (match.index > at) nodes.push(document.createTextNode(text.slice(at, match.index)));
    const line = Number(match[1] ?? match[2]);
    const column = Number(match[3] ?? 1);
    nodes.push(make("button", { type: "button", class: "output-place", click: () => goTo(line, column) }, match[0]));
    at = match.index + match[0].length;
  }
  if (at < text.length) nodes.push(document.createTextNode(text.slice(at)));
  return nodes;
}
