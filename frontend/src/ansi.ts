// Turns what a program prints into text nodes: colours become classes, every other escape sequence is dropped.
// Nothing a program prints is ever parsed as markup.

interface Style {
  colour: string;
  background: string;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

const plain: Style = { colour: "", background: "", bold: false, dim: false, italic: false, underline: false };
const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

// CSI, OSC (ended by BEL or ST), other two-character escapes; then control characters but tab, newline and return.
const escapes = /\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])|\x1b\](?:[^\x07\x1b]|\x1b(?!\\))*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]/g;
const unfinished = /\x1b(?:\[[0-9;:?<=> -/]*|\](?:[^\x07\x1b]|\x1b(?!\\))*\x1b?|[ -/]*)?$/;
/** An escape sequence longer than this is not one. */
const LONGEST_ESCAPE = 4_096;

export interface Piece {
  text: string;
  className: string;
}

/** Keeps one stream's style, and an escape sequence that is cut in two, from one piece of output to the next. */
export class AnsiReader {
  #style = plain;
  #rest = "";

  read(text: string): Piece[] {
    let input = this.#rest + text;
    this.#rest = "";
    const cut = unfinished.exec(input);
    if (cut && cut[0].length > 0 && cut[0].length < LONGEST_ESCAPE) {
      this.#rest = cut[0];
      input = input.slice(0, cut.index);
    }
    // A return may be the first half of "\r\n": wait for what follows.
    if (input.endsWith("\r")) {
      this.#rest = `\r${this.#rest}`;
      input = input.slice(0, -1);
    }
    const pieces: Piece[] = [];
    let at = 0;
    for (const match of input.matchAll(escapes)) {
      this.#add(pieces, input.slice(at, match.index));
      if (match[2] === "m") this.#restyle(match[1] ?? "");
      at = match.index + match[0].length;
    }
    this.#add(pieces, input.slice(at));
    return pieces;
  }

  #add(pieces: Piece[], text: string): void {
    if (text) pieces.push({ text: text.replaceAll("\r\n", "\n"), className: classOf(this.#style) });
  }

  #restyle(parameters: string): void {
    const codes = parameters.split(/[;:]/).map((code) => Number(code) || 0);
    for (let index = 0; index < codes.length; index += 1) {
      const code = codes[index] ?? 0;
      if (code === 38 || code === 48) {
        // 256 and true colours have no place in our palette: skip their arguments.
        index += codes[index + 1] === 5 ? 2 : codes[index + 1] === 2 ? 4 : 0;
        continue;
      }
      this.#style = { ...this.#style, ...change(code) };
    }
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
