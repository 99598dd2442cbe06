// Sets the theme before the first paint. Loaded in <head> without defer on every page.
try {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  if (kept === "system") delete document.documentElement.dataset.theme;
} catch {
  // Storage may be blocked; the system's colours are shown then.
}
