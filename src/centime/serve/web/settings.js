// System prompt and sampling: a form that is kept in this browser; an empty field leaves the server's default.

import { byId, h, kept } from "./dom.js";
import { applyWords, onLanguage, t } from "./i18n.js";

// name of the API's field: [least, most, step]
const NUMBERS = {
  temperature: [0, 2, 0.1],
  top_p: [0.01, 1, 0.01],
  max_tokens: [1, null, 1],
  seed: [0, null, 1],
  frequency_penalty: [-2, 2, 0.1],
  presence_penalty: [-2, 2, 0.1],
};

const form = byId("settings");

export function startSettings() {
  form.append(
    field("system", h("textarea", { id: "set-system", rows: 3, "aria-describedby": "set-system-hint" }), "wide"),
    ...Object.entries(NUMBERS).map(([name, [min, max, step]]) => field(name, numberInput(name, min, max, step))),
    field("stops", h("textarea", { id: "set-stops", rows: 1, "aria-describedby": "set-stops-hint" })),
    field("thinks", thinksSelect()),
    h("button", { type: "button", class: "quiet", onclick: reset, "data-t": "settings-reset" }),
  );
  applyWords(form);
  placeholders();
  onLanguage(placeholders);
  const before = JSON.parse(kept.get("settings") ?? "{}");
  for (const input of inputs()) input.value = before[input.id] ?? input.value;
  form.addEventListener("input", keep);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("settings-open").addEventListener("click", toggle);
}

const inputs = () => form.querySelectorAll("input, textarea, select");
const value = (name) => byId(`set-${name}`).value.trim();

/** What the API takes besides the messages: only what was filled in, and filled in validly. */
export function sampling() {
  const found = {};
  for (const name of Object.keys(NUMBERS)) {
    const input = byId(`set-${name}`);
    if (input.value !== "" && input.validity.valid) found[name] = input.valueAsNumber;
  }
  const stop = value("stops").split("\n").filter(Boolean);
  if (stop.length) found.stop = stop;
  if (value("thinks")) found.thinking = { type: value("thinks") };
  return found;
}

export const systemPrompt = () => value("system");

function field(name, input, kind = "") {
  const id = input.id;
  return h(
    "p",
    { class: `labelled ${kind}` },
    h("label", { for: id, "data-t": name }),
    input,
    h("span", { class: "fine", id: `${id}-hint`, "data-t": `${name}-hint` }),
  );
}

function numberInput(name, min, max, step) {
  const id = `set-${name}`;
  return h("input", { id, type: "number", min, max, step, inputmode: "decimal", "aria-describedby": `${id}-hint` });
}

function thinksSelect() {
  const choices = [
    ["", "by-default"],
    ["enabled", "enabled"],
    ["disabled", "disabled"],
  ];
  const options = choices.map(([choice, words]) => h("option", { value: choice, "data-t": words }));
  return h("select", { id: "set-thinks", "aria-describedby": "set-thinks-hint" }, options);
}

function placeholders() {
  for (const name of Object.keys(NUMBERS)) byId(`set-${name}`).placeholder = t("by-default");
}

function keep() {
  kept.set("settings", JSON.stringify(Object.fromEntries([...inputs()].map((input) => [input.id, input.value]))));
}

function reset() {
  for (const input of inputs()) input.value = "";
  keep();
}

function toggle() {
  form.hidden = !form.hidden;
  byId("settings-open").setAttribute("aria-expanded", String(!form.hidden));
  if (!form.hidden) byId("set-system").focus();
}
