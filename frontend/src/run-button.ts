// Run and Stop in the header, and the input that is given to a run from its start.
import { call, reasonOf } from "./api";
import { endNotice, problem } from "./notices";
import { byId, canEdit, type Page } from "./page";
import type { Run } from "./run-words";
import type { Runs } from "./runs";

export interface RunButtonOptions {
  page: Page;
  runs: Runs;
  /** Why nothing can run; empty if it can. `readLanguages` updates it. */
  refusal(): string;
  readLanguages(): Promise<void>;
  /** Whether there is a text to run: in the editor, or on the server as it is shown for reading. */
  hasText(): boolean;
  /** Resolves with whether the server has the text that is to run. */
  isSaved(): Promise<boolean>;
  /** What runs when the server does not have it yet. */
  texts(): { path: string; content: string }[];
  /** Shows the output. */
  started(): void;
}

export class RunButton {
  readonly #run = byId<HTMLButtonElement>("run");
  readonly #stop = byId<HTMLButtonElement>("stop");
  readonly #stdin = byId<HTMLTextAreaElement>("stdin");
  #stoppable: Run | null = null;
  #isStarting = false;

  constructor(private readonly options: RunButtonOptions) {
    this.#run.addEventListener("click", () => void this.start());
    this.#stop.addEventListener("click", () => this.stop());
    this.#keepStdin();
  }

  /** The newest run that this person may stop. */
  set stoppable(run: Run | null) {
    this.#stoppable = run;
    this.refresh();
  }

  refresh(): void {
    const { page, refusal, hasText } = this.options;
    this.#run.hidden = !canEdit(page.session.permission);
    this.#run.setAttribute("aria-disabled", String(refusal() !== "" || !hasText()));
    this.#run.title = refusal();
    this.#stop.hidden = this.#stoppable === null;
  }

  async start(): Promise<void> {
    const { page, hasText } = this.options;
    if (this.#isStarting || !hasText() || !canEdit(page.session.permission)) return;
    this.#isStarting = true;
    this.#run.dataset.busy = "yes";
    try {
      await this.#start();
    } catch (failure) {
      problem(reasonOf(failure, "The run was not started. Your text is unchanged. Try again."));
    } finally {
      this.#isStarting = false;
      delete this.#run.dataset.busy;
    }
  }

  async #start(): Promise<void> {
    const { page, runs, refusal, readLanguages, isSaved, texts, started } = this.options;
    // What could not run when the page was opened may run by now.
    if (refusal()) await readLanguages().catch(() => undefined);
    if (refusal()) {
      problem(refusal());
      return;
    }
    started();
    const isOnServer = await isSaved();
    const stdin = this.#stdin.value;
    const run = await call<Run>("POST", "/api/execute", {
      session_id: page.session.id,
      ...(stdin ? { stdin } : { interactive: true }),
      ...(isOnServer ? {} : { files: texts(), language: page.session.language }),
    });
    runs.take(run);
    if (!isOnServer) runs.markUnsaved(run.job_id);
    endNotice("problem");
  }

  stop(): void {
    if (this.#stoppable) void this.options.runs.stop(this.#stoppable);
  }

  #keepStdin(): void {
    const { user, session } = this.options.page;
    const key = `stdin:${user.id}:${session.id}`;
    const show = (): void => {
      byId("stdin-mark").hidden = !this.#stdin.value;
    };
    this.#stdin.value = sessionStorage.getItem(key) ?? "";
    this.#stdin.addEventListener("input", () => {
      sessionStorage.setItem(key, this.#stdin.value);
      show();
    });
    show();
  }
}
