// The lines of one block of output as a terminal shows them: a return goes back to the start of the line, and what is
// printed next goes over what stands there.
import type { Sink } from "./ansi";

export interface Run {
  text: string;
  className: string;
}

/** One line, with "\n" at its end, or a piece of one that is longer than LONGEST_LINE. */
export type Line = Run[];

/** A line cannot be changed any more where it is longer than this. */
export const LONGEST_LINE = 2_000;
/** Accents and the like that may pile up on one character, and in one line: a browser takes minutes over a million. */
const LONGEST_CHARACTER = 16;
const MOST_MARKS = 2_000;

const FIRST_MARK = 0x300;
const mark = /^[\p{M}\u200d]$/u;

export class Screen implements Sink {
  #finished: Line[] = [];
  #characters: string[] = [];
  #classNames: string[] = [];
  #cursor = 0;
  #marks = 0;

  text(text: string, className: string): void {
    for (const character of text) {
      if (this.#cursor > 0 && character.charCodeAt(0) >= FIRST_MARK && mark.test(character)) {
        const under = this.#characters[this.#cursor - 1] ?? "";
        this.#marks += 1;
        if (under.length < LONGEST_CHARACTER && this.#marks <= MOST_MARKS) this.#characters[this.#cursor - 1] = under + character;
        continue;
      }
      if (this.#cursor === LONGEST_LINE) this.#finish();
      this.#characters[this.#cursor] = character;
      this.#classNames[this.#cursor] = className;
      this.#cursor += 1;
    }
  }

  newline(): void {
    this.#characters.push("\n");
    this.#classNames.push("");
    this.#finish();
  }

  carriageReturn(): void {
    this.#cursor = 0;
  }

  backspace(): void {
    this.#cursor = Math.max(0, this.#cursor - 1);
  }

  /** A terminal leaves the cursor where it is; here the line restarts, at a cost that does not depend on its length. */
  erase(part: "rest" | "line"): void {
    if (part === "line") this.#cursor = 0;
    this.#characters.length = this.#classNames.length = this.#cursor;
  }

  /** The lines that were finished since the last call. */
  take(): Line[] {
    const lines = this.#finished;
    this.#finished = [];
    return lines;
  }

  /** The line that is being written. */
  get open(): Line {
    const runs: Line = [];
    let start = 0;
    for (let at = 1; at <= this.#characters.length; at += 1) {
      if (at < this.#characters.length && this.#classNames[at] === this.#classNames[start]) continue;
      runs.push({ text: this.#characters.slice(start, at).join(""), className: this.#classNames[start] ?? "" });
      start = at;
    }
    return runs;
  }

  #finish(): void {
    this.#finished.push(this.open);
    this.#characters = [];
    this.#classNames = [];
    this.#cursor = this.#marks = 0;
  }
}
