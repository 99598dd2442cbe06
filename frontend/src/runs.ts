// The cards of the runs: what state each is in, in words, and what it printed. Everybody in the session sees the same.
import { call, Problem } from "./api";
import { OutputView } from "./output";
import { canEdit, canManage, clockTime, exactTime, icon, make, relativeTime, type Limits, type Permission, type Person } from "./page";
import { decodeBase64, StreamReader, type StreamName } from "./streams";

export interface Run {
  job_id: string;
  status: RunStatus;
  language: string;
  user: Person | null;
  revision: number | null;
  interactive: boolean;
  exit_code: number | null;
  signal: string | null;
  truncated: boolean;
  stats: { limit: string | null; wall_ms?: number; cpu_ms?: number; memory_bytes?: number; output_bytes?: number; message?: string; cases?: number; cases_passed?: number } | null;
  /** What the person who started it set otherwise than the language's own limits. */
  limits: Limits | null;
  error_id: string | null;
  cancelled_by: Person | string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
}

type RunStatus =
  | "queued" | "running" | "completed" | "failed" | "compile_error" | "timed_out" | "out_of_memory" | "output_limit"
  | "cancelled" | "error";

/** How often the runs are read while they are not announced. */
const ASK_MS = 2_000;
const MOST_READ = 20;

const streams: StreamName[] = ["compile", "stdout", "stderr"];
const isFinal = (run: Run): boolean => run.status !== "queued" && run.status !== "running";
const rank = (run: Run): number => (isFinal(run) ? 2 : run.status === "running" ? 1 : 0);

const icons: Record<RunStatus, string> = {
  queued: "hourglass",
  running: "loader-circle",
  completed: "circle-check",
  failed: "circle-x",
  compile_error: "circle-x",
  timed_out: "clock",
  out_of_memory: "memory-stick",
  output_limit: "scissors",
  cancelled: "circle-stop",
  error: "server-crash",
};

function seconds(milliseconds: number): string {
  const value = milliseconds / 1000;
  if (value < 0.01) return "under 0.01 s";
  return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(value < 1 ? 2 : 1)} s`;
}

function size(bytes: number): string {
  const megabytes = bytes / 1_048_576;
  if (megabytes < 0.1) return `${Math.max(1, Math.round(bytes / 1024))} KB`;
  return `${megabytes >= 10 || Number.isInteger(megabytes) ? Math.round(megabytes) : megabytes.toFixed(1)} MB`;
}

function stoppedBy(run: Run): string {
  const who = typeof run.cancelled_by === "string" ? run.cancelled_by : run.cancelled_by?.username;
  return who ? `Stopped by ${who}` : "Stopped";
}

/** The state in words that a newcomer knows. `usual` are the limits of the run's language, as far as they are known. */
export function stateWords(run: Run, usual: Limits): string {
  const { stats } = run;
  const limits = { ...usual, ...run.limits };
  switch (run.status) {
    case "queued":
      return "Queued";
    case "running":
      return "Running";
    case "completed":
      return "Finished";
    case "failed":
      return run.signal ? `Failed (${run.signal})` : `Failed (exit ${run.exit_code ?? "unknown"})`;
    case "compile_error":
      return "Did not compile";
    case "timed_out": {
      if (stats?.limit === "idle") return "Stopped: no input or output for too long";
      // A run that may be typed into has more wall time than the language's own.
      const limit = stats?.limit === "cpu" ? limits.cpu_ms : run.interactive ? run.limits?.wall_ms : limits.wall_ms;
      return limit ? `Timed out after ${seconds(limit)}` : "Timed out";
    }
    case "out_of_memory":
      return limits.memory_bytes ? `Out of memory (${size(limits.memory_bytes)})` : "Out of memory";
    case "output_limit":
      return limits.output_bytes ? `Output cut at ${size(limits.output_bytes)}` : "Output cut";
    case "cancelled":
      return stoppedBy(run);
    case "error":
      return "Could not run";
  }
}

function nextStep(run: Run): string {
  if (run.status === "error") {
    return `The fault is on the server${run.error_id ? ` (error ${run.error_id})` : ""}. Your text is unchanged. Run it again, or tell the person who runs this server.`;
  }
  if (!["timed_out", "out_of_memory", "output_limit"].includes(run.status)) return "";
  return [run.stats?.message, "What it printed until then is kept."].filter(Boolean).join(" ");
}

export interface RunsOptions {
  list: HTMLElement;
  empty: HTMLElement;
  sessionId: string;
  me: Person;
  permission(): Permission;
  limitsOf(language: string): Limits;
  /** Whether runs and their output are announced to this page. */
  isLive(): boolean;
  /** The newest run that has not ended and that this person may stop, or null. */
  stoppable(run: Run | null): void;
  announce(words: string): void;
  news(): void;
  problem(words: string): void;
  goTo(line: number, column: number): void;
}

export class Runs {
  readonly #cards = new Map<string, RunCard>();
  #isAsking = false;

  constructor(private readonly options: RunsOptions) {
    setInterval(() => this.#tick(), 100);
    setInterval(() => void this.#ask(), ASK_MS);
    // The relative times grow old.
    setInterval(() => this.refresh(), 30_000);
  }

  /** Reads the recent runs: at the start, and again after a break, when announcements were missed. */
  async load(): Promise<void> {
    const { results } = await call<{ results: Run[] }>("GET", `/api/execute/history/${this.options.sessionId}`);
    for (const run of results.slice(0, MOST_READ).reverse()) this.#take(run, false);
    const newest = results[0] && this.#cards.get(results[0].job_id);
    newest?.open();
    for (const card of this.#cards.values()) if (!isFinal(card.run)) card.open();
  }

  /** A run that was announced or that one has just started. */
  take(run: Run): void {
    this.#take(run, true);
  }

  takeOutput(jobId: string, stream: StreamName, offset: number, data: string): void {
    this.#cards.get(jobId)?.takeOutput(stream, offset, decodeBase64(data));
    this.options.news();
  }

  takeInput(jobId: string, who: string, text: string): void {
    this.#cards.get(jobId)?.takeInput(who, text);
  }

  markUnsaved(jobId: string): void {
    this.#cards.get(jobId)?.markUnsaved();
  }

  refresh(): void {
    for (const card of this.#cards.values()) card.refresh();
    this.#tellStoppable();
  }

  async stop(run: Run): Promise<void> {
    try {
      this.take(await call<Run>("POST", `/api/execute/${run.job_id}/cancel`, {}));
    } catch (problem) {
      this.options.problem(problem instanceof Problem ? problem.message : "The run was not stopped. Try again.");
    }
  }

  mayStop(run: Run): boolean {
    const permission = this.options.permission();
    return !isFinal(run) && (canManage(permission) || (canEdit(permission) && run.user?.id === this.options.me.id));
  }

  #take(run: Run, isLive: boolean): void {
    const known = this.#cards.get(run.job_id);
    if (known) {
      known.take(run, isLive);
    } else {
      const card = new RunCard(run, this, this.options);
      this.#cards.set(run.job_id, card);
      this.options.list.prepend(card.element);
      this.options.empty.hidden = true;
      if (isLive) {
        for (const other of this.#cards.values()) if (other !== card && isFinal(other.run)) other.close();
        card.open();
        this.options.news();
      }
      this.#dropOldest();
    }
    this.#tellStoppable();
  }

  #dropOldest(): void {
    for (const [id, card] of this.#cards) {
      if (this.#cards.size <= 50) return;
      if (!isFinal(card.run)) continue;
      card.element.remove();
      this.#cards.delete(id);
    }
  }

  #tellStoppable(): void {
    const active = [...this.#cards.values()].map((card) => card.run).filter((run) => this.mayStop(run));
    active.sort((one, other) => other.created_at.localeCompare(one.created_at));
    this.options.stoppable(active[0] ?? null);
  }

  #tick(): void {
    for (const card of this.#cards.values()) card.tick();
  }

  /** Reads over REST what is not announced now, while a run is known that has not ended. */
  async #ask(): Promise<void> {
    const isWaiting = [...this.#cards.values()].some(({ run }) => !isFinal(run));
    if (!isWaiting || this.#isAsking || this.options.isLive() || document.hidden) return;
    this.#isAsking = true;
    try {
      const { results } = await call<{ results: Run[] }>("GET", `/api/execute/history/${this.options.sessionId}`);
      for (const run of results.slice(0, MOST_READ).reverse()) {
        this.#take(run, true);
        if (run.status === "running") await this.#cards.get(run.job_id)?.catchUp();
      }
    } catch {
      // The server does not answer either; the page says so elsewhere.
    } finally {
      this.#isAsking = false;
    }
  }
}

class RunCard {
  readonly element: HTMLElement;
  readonly #word = make("strong", { class: "run-word" });
  readonly #facts = make("span", { class: "run-facts" });
  readonly #who = make("span", { class: "run-who" });
  readonly #toggle: HTMLButtonElement;
  readonly #body = make("div", { class: "run-body" });
  readonly #help = make("p", { class: "output-note" });
  readonly #stop: HTMLButtonElement;
  readonly #copy: HTMLButtonElement;
  readonly #inputRow: HTMLFormElement;
  readonly #view: OutputView;
  readonly #readers: Map<StreamName, StreamReader>;
  #icon = "";
  #isRead = false;
  #isUnsaved = false;
  #stopAsked = false;
  #runningSince: number | null = null;

  constructor(
    public run: Run,
    private readonly runs: Runs,
    private readonly options: RunsOptions,
  ) {
    const who = run.user?.username ?? "someone";
    this.#view = new OutputView(`Output of the run by ${who} at ${clockTime(run.created_at)}`, options.goTo);
    this.#readers = new Map(
      streams.map((stream) => [
        stream,
        new StreamReader(
          run.job_id,
          stream,
          (text) => this.#view.write(stream, text),
          (bytes) => this.#view.note(`${size(bytes)} left out here.`),
        ),
      ]),
    );
    this.#toggle = make("button", { type: "button", class: "run-toggle", "aria-expanded": "false", click: () => this.#flip() });
    this.#toggle.append(icon("chevron-right"), this.#word);
    this.#stop = make("button", { type: "button", class: "button small", "aria-label": "Stop run", click: () => this.#askStop() }, icon("square"), make("span", { class: "word" }, "Stop run"));
    this.#copy = make("button", { type: "button", class: "button small quiet", "aria-label": "Copy the output", click: () => void this.#copyOutput() }, icon("copy"), make("span", { class: "word" }, "Copy"));
    this.#inputRow = this.#makeInputRow();
    this.#body.append(this.#view.element, this.#help, this.#inputRow);
    this.#body.hidden = true;
    this.element = make(
      "article",
      { class: "run", "data-job": run.job_id },
      make("header", { class: "run-head" }, this.#toggle, this.#facts, make("span", { class: "run-tools" }, this.#stop, this.#copy), this.#who),
      this.#body,
    );
    this.refresh();
  }

  take(run: Run, isLive: boolean): void {
    // Announcements may arrive late; a run never goes back, unless its worker could not run it and it waits for another.
    const waitsAgain = run.status === "queued" && Boolean(run.stats?.message) && !isFinal(this.run);
    if (rank(run) < rank(this.run) && !waitsAgain) return;
    const hasEnded = isFinal(run) && !isFinal(this.run);
    this.run = { ...this.run, ...run };
    this.refresh();
    if (hasEnded) void this.#ended(isLive);
  }

  takeOutput(stream: StreamName, offset: number, bytes: Uint8Array): void {
    // A card that was never opened reads everything when it is.
    if (this.#isRead) this.#readers.get(stream)?.take(offset, bytes);
  }

  takeInput(who: string, text: string): void {
    if (this.#isRead) this.#view.writeInput(who, text);
  }

  /** Reads over REST what it has printed meanwhile. */
  async catchUp(): Promise<void> {
    if (this.#isRead) await this.#readAll();
  }

  markUnsaved(): void {
    this.#isUnsaved = true;
    this.refresh();
  }

  open(): void {
    this.#toggle.setAttribute("aria-expanded", "true");
    this.#body.hidden = false;
    if (this.#isRead) return;
    this.#isRead = true;
    // A run that has only just been accepted has printed nothing yet.
    if (this.run.status !== "queued") void this.#readAll();
  }

  close(): void {
    this.#toggle.setAttribute("aria-expanded", "false");
    this.#body.hidden = true;
  }

  refresh(): void {
    const { run } = this;
    this.element.dataset.status = run.status;
    const words = stateWords(run, this.options.limitsOf(run.language));
    this.#word.textContent = words;
    if (this.#icon !== icons[run.status]) {
      this.#icon = icons[run.status];
      this.#toggle.querySelector(".run-icon")?.remove();
      const mark = icon(this.#icon);
      mark.classList.add("run-icon");
      this.#word.before(mark);
    }
    this.#toggle.setAttribute("aria-label", `${words}, run by ${run.user?.username ?? "someone"} at ${clockTime(run.created_at)}`);
    this.#facts.textContent = this.#factWords();
    this.#facts.title = run.stats?.cpu_ms === undefined ? "" : `Processor time ${seconds(run.stats.cpu_ms)}`;
    const text = run.revision === null || this.#isUnsaved ? "on text that is not saved yet" : `on the text of ${clockTime(run.created_at)}`;
    this.#who.replaceChildren(
      make("b", {}, run.user?.username ?? "someone"),
      ` ${text} · `,
      make("time", { datetime: run.created_at, title: exactTime(run.created_at) }, relativeTime(run.created_at)),
    );
    this.#stop.hidden = !this.runs.mayStop(run);
    this.#stop.disabled = this.#stopAsked;
    this.#copy.hidden = !isFinal(run);
    const hint = nextStep(run);
    this.#help.textContent = hint || (isFinal(run) && this.#isRead && this.#view.isEmpty ? "It printed nothing." : "");
    this.#help.hidden = !this.#help.textContent;
    this.#inputRow.hidden = !(run.status === "running" && run.interactive && canEdit(this.options.permission()));
  }

  tick(): void {
    if (isFinal(this.run)) return;
    if (this.run.status === "running") {
      // The server's clock may differ from this device's: count from when the page first saw it running.
      this.#runningSince ??= performance.now();
    }
    this.#facts.textContent = this.#factWords();
  }

  #factWords(): string {
    const { run } = this;
    if (run.status === "queued") return run.stats?.message ?? "It starts as soon as a runner is free";
    if (run.status === "running") {
      return this.#runningSince === null ? "" : `${((performance.now() - this.#runningSince) / 1000).toFixed(1)} s`;
    }
    const facts: string[] = [];
    if (run.stats?.cases) facts.push(`${run.stats.cases_passed ?? 0} of ${run.stats.cases} tests passed`);
    else if (run.exit_code !== null && run.status === "completed") facts.push(`exit ${run.exit_code}`);
    if (run.stats?.wall_ms !== undefined && run.stats.wall_ms !== null) facts.push(seconds(run.stats.wall_ms));
    if (run.stats?.memory_bytes) facts.push(size(run.stats.memory_bytes));
    if (run.truncated && run.status !== "output_limit") facts.push("output cut");
    return facts.join(" · ");
  }

  async #readAll(): Promise<void> {
    for (const reader of this.#readers.values()) await reader.catchUp();
    if (isFinal(this.run)) this.#finishReaders();
    this.refresh();
  }

  async #ended(isLive: boolean): Promise<void> {
    if (this.#isRead && !this.#hasAll()) await this.#readAll();
    else if (this.#isRead) this.#finishReaders();
    this.refresh();
    if (!isLive) return;
    const { run } = this;
    const exit = run.status === "completed" ? `, exit code ${run.exit_code}` : "";
    this.options.announce(`Run by ${run.user?.username ?? "someone"}: ${stateWords(run, this.options.limitsOf(run.language))}${exit}`);
  }

  /** Whether everything that the program printed has been announced, so that nothing need be read. */
  #hasAll(): boolean {
    const received = [...this.#readers.values()].reduce((sum, reader) => sum + reader.receivedBytes, 0);
    return !this.run.truncated && received === this.run.stats?.output_bytes;
  }

  #finishReaders(): void {
    for (const reader of this.#readers.values()) reader.finish();
  }

  #flip(): void {
    if (this.#body.hidden) this.open();
    else this.close();
  }

  #askStop(): void {
    this.#stopAsked = true;
    this.refresh();
    void this.runs.stop(this.run).finally(() => {
      this.#stopAsked = false;
      this.refresh();
    });
  }

  async #copyOutput(): Promise<void> {
    if (!this.#isRead) {
      this.#isRead = true;
      await this.#readAll();
    }
    await navigator.clipboard.writeText(this.#view.text).then(
      () => this.options.announce("Output copied"),
      () => this.options.problem("The browser did not allow copying. Select the output and copy it yourself."),
    );
  }

  #makeInputRow(): HTMLFormElement {
    const field = make("input", {
      type: "text",
      class: "field",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      "aria-label": "Type into the program",
      placeholder: "Type into the program",
    });
    const send = async (body: { text: string; eof?: boolean }) => {
      try {
        await call("POST", `/api/execute/${this.run.job_id}/input`, body);
        return true;
      } catch (problem) {
        this.options.problem(problem instanceof Problem ? problem.message : "What you typed was not sent. Try again.");
        return false;
      }
    };
    const row = make(
      "form",
      { class: "run-input" },
      field,
      make("button", { type: "submit", class: "button small" }, icon("corner-down-left"), "Send"),
      make("button", { type: "button", class: "button small quiet", title: "Tell the program that no more input comes", click: () => void send({ text: "", eof: true }) }, "End input"),
    );
    row.addEventListener("submit", (event) => {
      event.preventDefault();
      const { value } = field;
      field.value = "";
      void send({ text: `${value}\n` }).then((sent) => {
        if (!sent && !field.value) field.value = value;
      });
    });
    return row;
  }
}
