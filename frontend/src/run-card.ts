// The card of one run: its state, what it printed, and a field to type into it.
import { call, Problem } from "./api";
import { OutputView } from "./output";
import { canEdit, clockTime, exactTime, icon, make, relativeTime } from "./page";
import { icons, isFinal, nextStep, rank, type Run, seconds, size, stateWords } from "./run-words";
import type { Runs, RunsOptions } from "./runs";
import { type StreamName, StreamReader } from "./streams";

const streams: StreamName[] = ["compile", "stdout", "stderr"];

export class RunCard {
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
    if (run.status === "queued") return run.stats?.message ? "" : "Starts as soon as a runner is free";
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
      make("button", { type: "button", class: "button small quiet", title: "Tell the program that there is no more input", click: () => void send({ text: "", eof: true }) }, "End input"),
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
