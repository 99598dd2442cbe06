// Without a first connection: says why there is none, and shows the text for reading.
import { call } from "./api";
import { announce, downloadAction, endNotice, notice, type NoticeAction, noticeOf } from "./notices";
import { canEdit, type Page } from "./page";
import type { Reading } from "./reading";

/** How long the page waits for its first connection before it goes on without one. */
const FIRST_WAIT_MS = 6_000;

export interface UnconnectedOptions {
  session: Page["session"];
  reading: Reading;
  isConnecting(): boolean;
  /** Whether a full copy of the text is in this page. */
  isLoaded(): boolean;
  /** The close code of the last connection. */
  lastClose(): number | null;
  /** What the text in this page is saved as. */
  fileName(): string;
  reconnect(): void;
  /** The words in the status line have changed. */
  changed(): void;
  /** There is a connection after all. */
  ended(): void;
}

export class Unconnected {
  #isShown = false;

  constructor(private readonly options: UnconnectedOptions) {}

  get words(): string {
    if (!this.#isShown) return "Connecting";
    return this.options.isLoaded() ? "Not connected" : "Not connected. Read only";
  }

  watch(): void {
    setTimeout(() => void this.#show(), FIRST_WAIT_MS);
  }

  /** Takes everything back once there is a connection. */
  end(): void {
    const { reading, ended } = this.options;
    if (!this.#isShown && !reading.isShown) return;
    this.#isShown = false;
    reading.hide();
    endNotice("unconnected");
    announce("Connected.");
    ended();
  }

  /** Checks again when called again. */
  async #show(): Promise<void> {
    const { session, reading, isConnecting, isLoaded, fileName, changed } = this.options;
    if (!isConnecting()) return;
    const isThere = isLoaded() ? await call("GET", `/api/sessions/${session.id}`).then(() => true, () => false) : await reading.show();
    if (!isConnecting()) return reading.hide();
    const isNews = !this.#isShown;
    this.#isShown = true;
    const actions: NoticeAction[] = [{ words: "Try again", icon: "rotate-cw", act: () => void this.#tryAgain() }];
    if (!isLoaded()) actions.push(downloadAction(() => reading.file.text, fileName, undefined, "Download this text"));
    const words = `${this.#reason(isThere)} ${this.#kept(isThere)}`;
    if (isNews || noticeOf("unconnected")?.querySelector("p")?.textContent !== words) notice("unconnected", words, actions);
    changed();
  }

  async #tryAgain(): Promise<void> {
    this.options.reconnect();
    await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS));
    await this.#show();
  }

  #reason(isThere: boolean): string {
    if (!isThere) return "The server does not answer.";
    switch (this.options.lastClose()) {
      case 1012:
        return "The server is restarting.";
      case 1013:
      case 4503:
        return "The server cannot open the live document now.";
      case 1011:
        return "The live connection is closed as soon as it is opened (code 1011), by the server or by a proxy in front of it.";
      default:
        return "WebSockets are blocked on this network: a proxy or a firewall between you and the server stops the live connection.";
    }
  }

  #kept(isThere: boolean): string {
    const next = "This page keeps trying to connect.";
    if (this.options.isLoaded()) return `What you type is kept on this device and sent once there is a connection. ${next}`;
    if (!isThere) return `You can read the text as it was when the page was opened. ${next}`;
    const may = canEdit(this.options.session.permission) ? "read and run" : "read";
    return `You can ${may} the last saved text, but not edit it. ${next}`;
  }
}
