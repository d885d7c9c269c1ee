// Light or dark before the first paint, so that the page never flashes: a plain script in the head, not a module.
// Without a choice the style sheets follow the system (prefers-color-scheme).
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("centime.theme");
  } catch {
    // a browser that keeps nothing follows the system
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
