// The server's time, whatever this device's clock says. Its answers carry it in whole seconds.

/** What the server's time is ahead of the page's own monotonic clock, which nobody sets; null before it was told. */
let ahead: number | null = null;

/** `sentAt` and `receivedAt` are of performance.now(). An answer out of a cache tells an earlier time, which counts for nothing. */
export function noteServerTime(told: string | null, sentAt: number, receivedAt: number): void {
  const time = Date.parse(told ?? "") + 500 - (sentAt + receivedAt) / 2;
  if (!Number.isNaN(time)) ahead = Math.max(ahead ?? time, time);
}

export const serverNow = (): number => (ahead === null ? Date.now() : performance.now() + ahead);

/** Takes the time that the page itself came with. */
export function noteTimeOfPage(): void {
  const [loading] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  if (loading) noteServerTime(document.documentElement.dataset.now ?? null, loading.requestStart, loading.responseStart);
}
