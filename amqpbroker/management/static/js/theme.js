// The theme: light, dark, or that of the operating system. This script runs before the browser draws anything.

(() => {
  const KEY = "amqpbroker.theme";
  const CHOICES = ["system", "light", "dark"];
  const system = matchMedia("(prefers-color-scheme: dark)");
  const listeners = new Set();

  function remembered() {
    try {
      const name = localStorage.getItem(KEY);
      return CHOICES.includes(name) ? name : "system";
    } catch {
      return "system";
    }
  }

  let chosen = remembered();

  function apply() {
    document.documentElement.dataset.theme = chosen === "system" ? (system.matches ? "dark" : "light") : chosen;
    for (const listener of listeners) listener();
  }

  system.addEventListener("change", apply);
  apply();

  globalThis.amqpbrokerTheme = {
    chosen: () => chosen,
    isDark: () => document.documentElement.dataset.theme === "dark",
    choose(name) {
      chosen = name;
      try {
        localStorage.setItem(KEY, name);
      } catch {
        // The browser stores nothing: the choice lasts until the page is closed.
      }
      apply();
    },
    /** Calls `listener()` after each change. Returns a function that stops the calls. */
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
})();
