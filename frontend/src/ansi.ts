// Reads what a program prints: text, the few controls that a line knows, and colours as classes. Every other escape
// sequence is dropped. Nothing a program prints is ever parsed as markup.
//
// A scanner by hand, after the state machine of https://vt100.net/emu/dec_ansi_parser: whatever the bytes are, each
// character is looked at once, or twice where it ends a sequence that it does not belong to.

interface Style {
  colour: string;
  background: string;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

/** Receives what was read. */
export interface Sink {
  /** Text without control characters, tabs excepted. */
  text(text: string, className: string): void;
  newline(): void;
  carriageReturn(): void;
  backspace(): void;
  /** Erases the line from the cursor on, or all of it. */
  erase(part: "rest" | "line"): void;
}

const plain: Style = { colour: "", background: "", bold: false, dim: false, italic: false, underline: false };
const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** An escape sequence that is longer ends here; what follows is text. */
const LONGEST_ESCAPE = 4_096;

const BEL = 0x07, BACKSPACE = 0x08, TAB = 0x09, NEWLINE = 0x0a, RETURN = 0x0d, CANCEL = 0x18, SUBSTITUTE = 0x1a, ESCAPE = 0x1b;
const isControl = (code: number): boolean => (code < 0x20 && code !== TAB) || (code >= 0x7f && code <= 0x9f);
/** OSC, DCS, SOS, PM and APC: a string follows, up to BEL, the next escape or the end of the line. */
const STRINGS = "]PX^_";

/** Keeps one stream's style, and an escape sequence that is cut in two, from one piece of output to the next. */
export class AnsiReader {
  /** How many characters were looked at: at most twice as many as were read. */
  steps = 0;
  #state: "text" | "escape" | "sequence" | "string" = "text";
  #length = 0;
  #parameters = "";
  #style = plain;
  #className = "";

  read(text: string, sink: Sink): void {
    let at = 0;
    while (at < text.length) {
      if (this.#state === "text") at = this.#readText(text, at, sink);
      else if (this.#takes(text.charCodeAt(at), text.charAt(at), sink)) at += 1;
      else this.#state = "text";
    }
  }

  /** Returns where the text ends that begins at `from`, behind the control character that ended it. */
  #readText(text: string, from: number, sink: Sink): number {
    let end = from;
    while (end < text.length && !isControl(text.charCodeAt(end))) end += 1;
    this.steps += Math.min(end + 1, text.length) - from;
    if (end > from) sink.text(text.slice(from, end), this.#className);
    if (end === text.length) return end;
    const code = text.charCodeAt(end);
    if (code === NEWLINE) sink.newline();
    else if (code === RETURN) sink.carriageReturn();
    else if (code === BACKSPACE) sink.backspace();
    else if (code === ESCAPE) this.#begin("escape");
    return end + 1;
  }

  #begin(state: "escape" | "sequence" | "string"): void {
    this.#state = state;
    this.#length = 0;
    this.#parameters = "";
  }

  /** Whether the character belongs to the sequence that is being read. */
  #takes(code: number, character: string, sink: Sink): boolean {
    this.steps += 1;
    this.#length += 1;
    if (this.#length > LONGEST_ESCAPE) return false;
    if (code === ESCAPE) {
      this.#begin("escape");
      return true;
    }
    if (this.#state === "string") {
      // A terminal would go on; here a program that forgets the end of its string loses a line and not its result.
      if (code === NEWLINE) return false;
      if (code === BEL || code === CANCEL || code === SUBSTITUTE) this.#state = "text";
      return true;
    }
    if (code < 0x20 || code > 0x7e) return false;
    if (this.#state === "escape") {
      if (character === "[") this.#begin("sequence");
      else if (STRINGS.includes(character)) this.#begin("string");
      else if (code >= 0x30) this.#state = "text";
      return true;
    }
    if (code < 0x40) {
      this.#parameters += character;
      return true;
    }
    this.#state = "text";
    if (character === "m") this.#restyle(this.#parameters);
    else if (character === "K" && this.#parameters !== "1") sink.erase(this.#parameters === "2" ? "line" : "rest");
    return true;
  }

  #restyle(parameters: string): void {
    // Those of other terminals, such as "\x1b[>4m", set no style.
    if (/[^0-9;:]/.test(parameters)) return;
    const codes = parameters.split(/[;:]/).map(Number);
    for (let index = 0; index < codes.length; index += 1) {
      const code = codes[index] ?? 0;
      if (code === 38 || code === 48) {
        // 256 and true colours have no place in our palette: skip their arguments.
        index += codes[index + 1] === 5 ? 2 : codes[index + 1] === 2 ? 4 : 0;
        continue;
      }
      this.#style = { ...this.#style, ...change(code) };
    }
    this.#className = classOf(this.#style);
  }
}

function change(code: number): Partial<Style> {
  if (code === 0) return plain;
  if (code === 1) return { bold: true };
  if (code === 2) return { dim: true };
  if (code === 3) return { italic: true };
  if (code === 4) return { underline: true };
  if (code === 22) return { bold: false, dim: false };
  if (code === 23) return { italic: false };
  if (code === 24) return { underline: false };
  if (code === 39) return { colour: "" };
  if (code === 49) return { background: "" };
  const name = names[code % 10];
  const decade = Math.floor(code / 10);
  if (name && (decade === 3 || decade === 9)) return { colour: name };
  if (name && (decade === 4 || decade === 10)) return { background: name };
  return {};
}

function classOf(style: Style): string {
  return [
    style.colour && `ansi-${style.colour}`,
    style.background && `ansi-on-${style.background}`,
    style.bold && "ansi-bold",
    style.dim && "ansi-dim",
    style.italic && "ansi-italic",
    style.underline && "ansi-underline",
  ].filter(Boolean).join(" ");
}
