// The runs of the session, newest first. Everybody in the session sees the same.
import { call, Problem } from "./api";
import { canEdit, canManage, type Limits, type Permission, type Person } from "./page";
import { RunCard } from "./run-card";
import { isFinal, type Run } from "./run-words";
import { decodeBase64, type StreamName } from "./streams";

/** How often the runs are read while they are not announced. */
const ASK_MS = 2_000;
const MOST_READ = 20;

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

  /** Reads runs over REST while they are not announced and one has not ended. */
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
