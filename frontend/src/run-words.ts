// A run as the server describes it, and its state in words.
import type { Limits, Person } from "./page";

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

export const isFinal = (run: Run): boolean => run.status !== "queued" && run.status !== "running";
export const rank = (run: Run): number => (isFinal(run) ? 2 : run.status === "running" ? 1 : 0);

export const icons: Record<RunStatus, string> = {
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

export function seconds(milliseconds: number): string {
  const value = milliseconds / 1000;
  if (value < 0.01) return "under 0.01 s";
  return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(value < 1 ? 2 : 1)} s`;
}

export function size(bytes: number): string {
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

export function nextStep(run: Run): string {
  if (run.status === "error") {
    return `The fault is on the server${run.error_id ? ` (error ${run.error_id})` : ""}. Your text is unchanged. Run it again, or tell whoever runs this server.`;
  }
  // Why it waits, if not just for its turn.
  if (run.status === "queued") return run.stats?.message ?? "";
  if (!["timed_out", "out_of_memory", "output_limit"].includes(run.status)) return "";
  return [run.stats?.message, "What it printed before that is kept."].filter(Boolean).join(" ");
}
