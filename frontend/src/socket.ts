// The WebSocket that y-websocket gets: it keeps text frames away from it, which it throws on, and cuts what carries
// edits into frames that the server takes, and counts them.
import { splitFrame, STEP_2, SYNC, UPDATE } from "./split";

export interface SocketHooks {
  opening(): void;
  text(socket: WebSocket, data: string): void;
  /** Returns whether y-websocket may read the frame now. */
  binary(socket: WebSocket, data: ArrayBuffer): boolean;
  /** How long a frame with edits may be. */
  frameBytes(): number;
  /** Frames with edits were sent, the last of them with this number on the connection. */
  sent(frame: number, kind: number): void;
}

export function socketClass(hooks: SocketHooks): typeof WebSocket {
  return class CountingSocket extends WebSocket {
    #frames = 0;

    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      hooks.opening();
      // Added before y-websocket sets onmessage, so this listener runs first.
      this.addEventListener("message", (event: MessageEvent<string | ArrayBuffer>) => {
        if (typeof event.data !== "string" && hooks.binary(this, event.data)) return;
        event.stopImmediatePropagation();
        if (typeof event.data === "string") hooks.text(this, event.data);
      });
    }

    override send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
      if (!(data instanceof Uint8Array && data[0] === SYNC && (data[1] === STEP_2 || data[1] === UPDATE))) {
        super.send(data as ArrayBufferView<ArrayBuffer>);
        return;
      }
      const frames = splitFrame(data, hooks.frameBytes());
      this.#frames += frames.length;
      hooks.sent(this.#frames, data[1]);
      for (const frame of frames) super.send(frame as Uint8Array<ArrayBuffer>);
    }
  };
}
