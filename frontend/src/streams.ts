// One stream of one run: bytes in any order in, text in the right order out. A gap is read over REST.
import { call } from "./api";

export type StreamName = "stdout" | "stderr" | "compile";

/** Output is announced before it is stored, by up to a second: how long to wait before each further look for a gap. */
const PATIENCE_MS = [400, 800, 1_600];

interface OutputPage {
  from: number;
  next: number;
  total: number;
  data_base64: string;
}

export function decodeBase64(data: string): Uint8Array {
  return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

export class StreamReader {
  #next = 0;
  #early: { offset: number; bytes: Uint8Array }[] = [];
  #repair: Promise<void> | null = null;
  // Keeps a character that is split between two pieces.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(
    private readonly jobId: string,
    private readonly stream: StreamName,
    private readonly write: (text: string) => void,
    private readonly leftOut: (bytes: number) => void,
    private readonly patienceMs: readonly number[] = PATIENCE_MS,
  ) {}

  get receivedBytes(): number {
    return this.#next;
  }

  take(offset: number, bytes: Uint8Array): void {
    if (this.#repair || offset > this.#next) {
      this.#early.push({ offset, bytes });
      void this.catchUp();
      return;
    }
    this.#accept(offset, bytes);
  }

  /** Reads over REST until everything that the server has is here. */
  catchUp(): Promise<void> {
    this.#repair ??= this.#readOn().finally(() => {
      this.#repair = null;
    });
    return this.#repair;
  }

  /** The run has ended: an unfinished character is shown as a replacement character. */
  finish(): void {
    const rest = this.#decoder.decode();
    if (rest) this.write(rest);
  }

  async #readOn(): Promise<void> {
    for (const patience of [...this.patienceMs, null]) {
      await this.#readPages();
      this.#acceptEarly();
      if (this.#early.length === 0) return;
      if (patience !== null) await new Promise((resolve) => setTimeout(resolve, patience));
    }
    for (let first = this.#early[0]; first; first = this.#early[0]) {
      // The bytes between were never kept.
      this.#skipTo(first.offset);
      this.#acceptEarly();
    }
  }

  async #readPages(): Promise<void> {
    for (;;) {
      const page = await call<OutputPage>(
        "GET",
        `/api/execute/${this.jobId}/output?from=${this.#next}&stream=${this.stream}`,
      ).catch(() => null);
      if (!page) return;
      if (page.from > this.#next) this.#skipTo(page.from);
      this.#accept(page.from, decodeBase64(page.data_base64));
      if (page.next <= page.from || page.next >= page.total) return;
    }
  }

  /** Takes the waiting pieces that follow on what is here, in order. */
  #acceptEarly(): void {
    this.#early.sort((one, other) => one.offset - other.offset);
    for (let first = this.#early[0]; first && first.offset <= this.#next; first = this.#early[0]) {
      this.#early.shift();
      this.#accept(first.offset, first.bytes);
    }
  }

  #skipTo(offset: number): void {
    this.finish();
    this.leftOut(offset - this.#next);
    this.#next = offset;
  }

  #accept(offset: number, bytes: Uint8Array): void {
    const fresh = bytes.subarray(Math.max(0, this.#next - offset));
    if (fresh.length === 0) return;
    this.#next += fresh.length;
    this.write(this.#decoder.decode(fresh, { stream: true }));
  }
}
