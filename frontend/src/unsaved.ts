// Which of this page's edits the server has not acknowledged. It acknowledges frames by their number on the connection.
import { UPDATE } from "./split";

/** The frame number of an edit that was not sent on the present connection. */
const UNSENT = Number.POSITIVE_INFINITY;

interface Edit {
  frame: number;
  since: number;
}

export class UnsavedEdits {
  /** How many edits were made in this page. */
  made = 0;
  #edits: Edit[] = [];
  #updateFrame = 0;
  #step2Frame = 0;
  /** Whether the server has committed everything that this page held when the connection was made. */
  #isConfirmed = false;

  get count(): number {
    return this.#edits.length;
  }

  /** When the oldest of them was made. */
  get since(): number {
    return this.#edits[0]?.since ?? Date.now();
  }

  get isSaved(): boolean {
    return this.#edits.length === 0 && this.#isConfirmed;
  }

  connected(): void {
    this.#step2Frame = 0;
    this.#isConfirmed = false;
  }

  disconnected(): void {
    this.#isConfirmed = false;
    for (const edit of this.#edits) edit.frame = UNSENT;
  }

  /** Counts the edits that an earlier page left on this device. */
  takeUp(count: number): void {
    while (this.#edits.length < count) this.#edits.push({ frame: UNSENT, since: Date.now() });
  }

  /** The last frame of an update, or of an answer to step 1, was sent. */
  sent(frame: number, kind: number): void {
    if (kind === UPDATE) {
      this.#updateFrame = frame;
      return;
    }
    // Step 2 holds everything the server lacked, so it answers for all edits up to now.
    this.#step2Frame = frame;
    for (const edit of this.#edits) edit.frame = frame;
  }

  /** An edit was made; the frame that carries it, if any, was sent just before. */
  add(): void {
    const frame = this.#step2Frame > 0 && this.#updateFrame > 0 ? this.#updateFrame : UNSENT;
    this.#updateFrame = 0;
    this.made += 1;
    this.#edits.push({ frame, since: Date.now() });
  }

  acknowledged(received: number): void {
    this.#edits = this.#edits.filter((edit) => edit.frame > received);
    if (this.#step2Frame > 0 && received >= this.#step2Frame) this.#isConfirmed = true;
  }
}
