// The server's binary frames on their way to y-websocket. They wait while something is composed, and a question for
// what the server lacks is not passed on where the answer would be refused.
import * as Y from "yjs";
import { loadWith } from "./carried";
import { STEP_1, STEP_2, SYNC, updateIn } from "./split";

/** What others write is held back no longer than this. */
const LONGEST_HOLD_MS = 10_000;

interface Frame {
  socket: WebSocket;
  data: ArrayBuffer;
}

export interface IncomingOptions {
  doc: Y.Doc;
  /** The document of an earlier Collab, to be loaded together with the server's; null without one. */
  earlier: Uint8Array | null;
  /** The origin of what the server sends. */
  origin(): unknown;
  /** The socket in use: frames of others are dropped. */
  socket(): WebSocket | null;
  /** Whether step 1 with this state vector may be answered. */
  mayAnswer(stateVector: Uint8Array): boolean;
}

export class IncomingFrames {
  #earlier: Uint8Array | null;
  #held: Frame[] = [];
  /** Ends the holding back; null while frames are let in. */
  #holding: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly options: IncomingOptions) {
    this.#earlier = options.earlier;
  }

  /** Returns whether y-websocket may read the frame now. */
  lets(socket: WebSocket, data: ArrayBuffer): boolean {
    if (this.options.socket() === socket) {
      const frame = new Uint8Array(data);
      this.#loadEarlier(frame);
      if (frame[0] === SYNC && frame[1] === STEP_1 && !this.options.mayAnswer(updateIn(frame))) return false;
    }
    if (this.#holding === null) return true;
    this.#held.push({ socket, data });
    return false;
  }

  /** Keeps what the server sends of the text, and of others' carets in it, out of the document; not for long. */
  hold(isHeld: boolean): void {
    if (isHeld && this.#holding === null) {
      this.#holding = setTimeout(() => this.hold(false), LONGEST_HOLD_MS);
    } else if (!isHeld && this.#holding !== null) {
      clearTimeout(this.#holding);
      this.#holding = null;
      for (const frame of this.#held.splice(0)) this.#deliver(frame);
    }
  }

  #deliver({ socket, data }: Frame): void {
    if (this.options.socket() === socket) socket.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** Loads the first answer of the server together with what the earlier document has of it. */
  #loadEarlier(frame: Uint8Array): void {
    if (!this.#earlier || frame[0] !== SYNC || frame[1] !== STEP_2) return;
    loadWith(this.options.doc, this.#earlier, updateIn(frame), this.options.origin());
    this.#earlier = null;
  }
}
