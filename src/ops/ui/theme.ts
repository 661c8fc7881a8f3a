/**
 * Light or dark: the system's choice until the reader makes his own.
 *
 * @module
 */

const STORAGE_KEY = "weir.theme";

type Theme = "light" | "dark";

/** Shows the theme that was chosen before, if any. */
export function restoreTheme(): void {
  const chosen = localStorage.getItem(STORAGE_KEY);
  if (chosen === "light" || chosen === "dark") show(chosen);
}

/** Changes to the other theme and keeps it. */
export function switchTheme(): void {
  const theme = current() === "dark" ? "light" : "dark";
  show(theme);
  localStorage.setItem(STORAGE_KEY, theme);
}

function current(): Theme {
  const { theme } = document.documentElement.dataset;
  if (theme === "light" || theme === "dark") return theme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function show(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
}
