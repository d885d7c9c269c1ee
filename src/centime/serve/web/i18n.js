// The language: chosen once, kept, and told to every view; words and numbers as it writes them.

import { kept } from "./dom.js";
import { STRINGS } from "./strings.js";

const LANGUAGES = ["en", "fr"];
const listeners = [];
let now = LANGUAGES.includes(kept.get("language"))
  ? kept.get("language")
  : navigator.languages?.some((name) => name.startsWith("fr"))
    ? "fr"
    : "en";

export const language = () => now;

/** Calls `redraw` after each change of language. */
export const onLanguage = (redraw) => listeners.push(redraw);

export function setLanguage(name) {
  now = name;
  kept.set("language", name);
  applyWords(document);
  listeners.forEach((redraw) => redraw());
}

export const otherLanguage = () => (now === "en" ? "fr" : "en");

/** The sentence of a key in the language, {names} filled in; a key that is not there is a mistake of ours. */
export function t(key, values = {}) {
  const found = STRINGS[key];
  if (!found) throw new Error(`no words for ${key}`);
  return found[LANGUAGES.indexOf(now)].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const has = (key) => key in STRINGS;

/** Writes the words of every element that names one: its text, its label, its placeholder. */
export function applyWords(root) {
  document.documentElement.lang = now;
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
  for (const element of root.querySelectorAll("[data-t-placeholder]")) {
    element.placeholder = t(element.dataset.tPlaceholder);
  }
}

const format = (value, options) =>
  new Intl.NumberFormat(now === "fr" ? "fr-FR" : "en-US", options).format(value).replace("-", "−");

/** 1234567 -> "1,234,567" or "1 234 567". */
export const whole = (value) => format(value, { maximumFractionDigits: 0 });

/** Three significant digits below a thousand, none after the point above. */
export const plain = (value) =>
  Math.abs(value) >= 1000 ? whole(value) : format(value, { maximumSignificantDigits: 3 });

/** 14.8e12 -> "14.8 T": three significant digits and K, M, B, T, P, as the command line writes counts. */
export function count(value) {
  if (Math.abs(value) < 1000) return plain(value);
  const scale = Math.min(5, Math.floor(Math.log10(Math.abs(value) * 1.0005) / 3));
  const number = format(value / 1000 ** scale, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  return `${number}\u202f${["", "K", "M", "B", "T", "P"][scale]}`;
}

export const percent = (share) =>
  format(share, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** How many times: two decimals. */
export const ratio = (value) => format(value, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Two decimals from a unit of the currency up, three significant digits below, so that no cost reads as nought. */
export function money(value, currency) {
  const digits =
    value === 0 || Math.abs(value) >= 0.995
      ? { minimumFractionDigits: 2, maximumFractionDigits: 2 }
      : { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
  return format(value, { style: "currency", currency, currencyDisplay: "narrowSymbol", ...digits });
}

/** 0.42 -> "420 ms", 5.2 -> "5.2 s", 65 -> "1 min 05 s", 3725 -> "1 h 02 min". */
export function duration(seconds) {
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  if (seconds < 0.9995) return `${whole(seconds * 1000)}\u202fms`;
  if (seconds < 59.95) return `${format(seconds, { maximumFractionDigits: 1 })}\u202fs`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u202fmin ${two(seconds % 60)}\u202fs`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}\u202fh ${two((seconds % 3600) / 60)}\u202fmin`;
  return `${Math.floor(seconds / 86400)}\u202fd ${two((seconds % 86400) / 3600)}\u202fh`;
}
