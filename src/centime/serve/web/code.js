// A block of code with its language and a button that copies it; and copying anything else.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Source in a box; scrolled sideways, never wrapped. */
export function codeBlock(source, language = "") {
  const label = language ? t("code-in", { language }) : t("code");
  return h(
    "div",
    { class: "code" },
    h("div", { class: "code-head" }, h("span", {}, language), copyButton(() => source)),
    h("pre", { tabindex: 0, role: "region", "aria-label": label }, h("code", {}, source)),
  );
}

/** A button that copies what `text()` gives and says so for a moment. */
export function copyButton(text) {
  const button = h("button", { type: "button", class: "quiet small", "data-t": "copy" }, t("copy"));
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.textContent = t(done ? "copied" : "copy-failed");
    setTimeout(() => (button.textContent = t("copy")), 1600);
  });
  return button;
}

/** Whether the text is on the clipboard now. Pages served over plain http to another machine have no clipboard API. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = h("textarea", { class: "unseen", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    const before = document.activeElement;
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus();
    return done;
  }
}
