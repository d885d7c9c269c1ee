// Keys and budgets made, changed and ended by whoever holds the administrator's key.

import { askAdmin, forgetAdmin, isAdmin, takeAdmin } from "./admin_api.js";
import { drawBudgets, newBudget } from "./admin_budgets.js";
import { drawKeys, newKey } from "./admin_keys.js";
import { key, ServerError } from "./api.js";
import { copyButton } from "./code.js";
import { byId, h } from "./dom.js";
import { applyWords, onLanguage, t } from "./i18n.js";

const box = byId("admin");
const open = new Map(); // where a form stands -> the form, so that what is typed outlives a redrawing
let found = null; // {keys, budgets, tree} as the server told them last
let secret = null; // {name, secret} of a key that was just made: shown until the person has it
let done = ""; // what was done last, in words
let refused = null; // why there is nothing to show

export function startAdmin() {
  onLanguage(draw);
}

export async function showAdmin() {
  if (!isAdmin() && key()) takeAdmin(key()); // the page's own key may be the administrator's
  await read();
}

async function read() {
  try {
    const [{ keys }, { budgets, tree }] = await Promise.all([askAdmin("keys"), askAdmin("budgets")]);
    found = { keys, budgets, tree };
    refused = null;
  } catch (error) {
    found = null;
    refused = error;
    if (error.code === 401) forgetAdmin();
  }
  draw();
}

function draw() {
  if (!found) {
    box.replaceChildren(...(refused ? [gate()] : [h("p", { class: "waiting" }, t("loading"))]));
    applyWords(box);
    return;
  }
  const page = { open, draw, changed };
  const parts = [
    h("p", { class: "lead" }, t("admin-lead")),
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", class: "quiet", onclick: read }, t("bill-refresh")),
      h("button", { type: "button", class: "quiet", id: "admin-forget", onclick: leave }, t("admin-forget")),
    ),
    h("p", { class: "note", id: "admin-done", role: "status", tabindex: -1 }, done),
    secret && shownOnce(),
    h("h2", {}, t("admin-keys")),
    newKey(page),
    drawKeys(page, found.keys),
    h("h2", {}, t("admin-budgets")),
    newBudget(page),
    drawBudgets(page, found),
  ];
  box.replaceChildren(...parts.filter(Boolean));
  applyWords(box);
}

/** Something was done: `words` say what; what the server has now is read anew. `made`: a key with its secret. */
async function changed(words, made = null) {
  done = words;
  if (made) secret = { name: made.name, secret: made.secret };
  await read();
  (byId("admin-secret") ?? byId("admin-done"))?.focus();
}

function shownOnce() {
  const value = h("code", { id: "admin-secret-value", tabindex: 0 }, secret.secret);
  const forget = () => {
    secret = null;
    draw();
    byId("new-key")?.focus();
  };
  return h(
    "section",
    { class: "once", id: "admin-secret", tabindex: -1, "aria-labelledby": "admin-secret-title" },
    h("h3", { id: "admin-secret-title" }, t("admin-secret", { name: secret.name })),
    h("p", { class: "fine" }, t("admin-secret-once", { name: secret.name })),
    h("p", { class: "secret" }, value),
    h(
      "div",
      { class: "row" },
      copyButton(() => value.textContent),
      h("button", { type: "button", class: "quiet small", id: "admin-secret-done", onclick: forget }, t("admin-have-it")),
    ),
  );
}

function leave() {
  forgetAdmin();
  open.clear();
  found = secret = null;
  done = "";
  refused = new ServerError("", 401);
  draw();
  byId("admin-key")?.focus();
}

/** The field for the administrator's key; on a server that has none, the sentence that says so. */
function gate() {
  if (refused.code !== 401) return h("p", { class: "alert", role: "alert" }, refused.code === 404 ? t("admin-none") : refused.message);
  const field = h("input", {
    id: "admin-key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "admin-key-hint admin-key-error",
  });
  const said = h("p", { class: "wrong", id: "admin-key-error", role: "alert" });
  const use = async (event) => {
    event.preventDefault();
    takeAdmin(field.value.trim());
    await read();
    if (found) byId("main").focus();
    else {
      byId("admin-key-error")?.replaceChildren(t("key-refused"));
      byId("admin-key")?.focus();
    }
  };
  return h(
    "form",
    { class: "planner", id: "admin-gate", onsubmit: use },
    h(
      "p",
      { class: "labelled" },
      h("label", { for: "admin-key", "data-t": "admin-key" }),
      field,
      h("span", { class: "fine", id: "admin-key-hint", "data-t": "admin-key-hint" }),
    ),
    said,
    h("div", { class: "row" }, h("button", { type: "submit", class: "main", id: "admin-use", "data-t": "key-use" })),
  );
}
