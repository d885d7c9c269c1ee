// The planner as a form: what serving or training will take, before a cent is spent.

import { askJson } from "./api.js";
import { codeBlock } from "./code.js";
import { byId, h } from "./dom.js";
import { applyWords, language, onLanguage, roundTime, t } from "./i18n.js";
import { drawSection } from "./sections.js";

// The verb's options by field, as `centime plan` names them: [kind or list of choices, value to begin with].
const FIELDS = {
  serve: {
    main: {
      model: ["models", "DeepSeek-V3"],
      gpu: ["chips", "H800 SXM 80GB"],
      gpus: ["text", "512"],
      demand: ["text", ""],
      price: ["text", ""],
    },
    more: {
      isl: ["text", ""],
      osl: ["text", ""],
      hit: ["text", ""],
      ttft: ["text", "5s"],
      tpot: ["text", "50ms"],
      precision: [["", "bf16", "fp8", "fp4", "mxfp4", "int4"], ""],
      prices: ["prices", ""],
      date: ["date", ""],
    },
  },
  train: {
    main: {
      model: ["models", "DeepSeek-V3"],
      tokens: ["text", "14.8T"],
      gpu: ["chips", "H800 SXM 80GB"],
      gpus: ["text", "2048"],
      price: ["text", ""],
    },
    more: {
      seq: ["text", ""],
      global_batch: ["text", ""],
      precision: [["", "bf16", "fp8", "mxfp8", "nvfp4"], ""],
      layout: ["text", ""],
      region: [["any", "cn", "us"], "any"],
      date: ["date", ""],
    },
  },
};
// field -> the words of its label and of its hint, where they are not the field's own
const LABELS = { gpu: "chip", price: "price-hour", prices: "prices-list" };
const HINTS = { price: "price-hour-hint", prices: "prices-list-hint" };

const box = byId("plan");
let verb = "serve";
let offered = null; // names of models, chips and price lists
let made = null; // the last plan, in every language
let typed = {}; // what was filled in, by verb and field
let asking = null;

export function startPlan() {
  box.append(
    h("form", { id: "plan-form", class: "planner" }),
    h("div", { id: "plan-result", tabindex: -1, "aria-live": "off" }),
  );
  byId("plan-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  byId("plan-form").addEventListener("input", remember);
  onLanguage(() => {
    if (offered) drawForm();
    drawResult();
  });
}

export async function showPlan() {
  if (offered) return;
  try {
    offered = await askJson("page/plan");
    drawForm();
  } catch (error) {
    byId("plan-result").replaceChildren(
      h("p", { class: "alert", role: "alert" }, error.code === 404 ? t("not-here") : error.message),
    );
  }
}

function remember(event) {
  const { name, value } = event.target;
  if (name === "verb") {
    verb = value;
    drawForm();
    byId(`plan-${verb}`).focus();
  } else {
    typed[`${verb}.${name}`] = value;
  }
}

function drawForm() {
  const { main, more } = FIELDS[verb];
  const wasOpen = byId("plan-form").querySelector("details")?.open ?? false;
  byId("plan-form").replaceChildren(
    h(
      "fieldset",
      { class: "verbs" },
      h("legend", { class: "unseen" }, t("plan-kind")),
      Object.keys(FIELDS).map((name) =>
        h(
          "label",
          {},
          h("input", { type: "radio", name: "verb", id: `plan-${name}`, value: name, checked: name === verb }),
          h("span", {}, t(`plan-${name}`)),
        ),
      ),
    ),
    h("div", { class: "fields" }, Object.entries(main).map(field)),
    h(
      "details",
      { open: wasOpen },
      h("summary", {}, t("more")),
      h("div", { class: "fields" }, Object.entries(more).map(field)),
    ),
    h(
      "div",
      { class: "row" },
      h("button", { type: "submit", class: "main", id: "plan-run" }, t("plan-run")),
      h("span", { id: "plan-wait", class: "fine", role: "status" }),
    ),
  );
  applyWords(byId("plan-form"));
}

function field([name, [kind, first]]) {
  const id = `plan-field-${name}`;
  const words = LABELS[name] ?? (name === "tokens" ? "tokens-train" : name);
  const hint =
    HINTS[name] ??
    { "serve.gpus": "gpus-or", "train.gpus": "gpus-train", "train.tokens": "tokens-train-hint" }[`${verb}.${name}`] ??
    `${name}-hint`;
  const value = typed[`${verb}.${name}`] ?? first;
  const said = hintText(hint, name);
  const input = control(name, kind, { id, name, "aria-describedby": said ? `${id}-hint` : null, autocomplete: "off" });
  input.value = value;
  return h(
    "p",
    { class: "labelled" },
    h("label", { for: id }, t(words)),
    input,
    said && h("span", { class: "fine", id: `${id}-hint` }, said),
  );
}

function hintText(hint, name) {
  if (name === "model") return t("plan-model-hint", { example: "DeepSeek-V4-Flash" });
  return ["gpu", "ttft", "tpot", "precision", "region"].includes(name) ? null : t(hint);
}

function control(name, kind, attributes) {
  if (Array.isArray(kind)) {
    const text = (choice) => (name === "region" ? t(`region-${choice}`) : choice || t("automatic"));
    return h(
      "select",
      attributes,
      kind.map((choice) => h("option", { value: choice }, text(choice))),
    );
  }
  if (kind === "chips")
    return h(
      "select",
      attributes,
      offered.chips.map((chip) => h("option", { value: chip }, chip)),
    );
  if (kind === "date") return h("input", { ...attributes, type: "date" });
  if (kind === "text") return h("input", { ...attributes, type: "text", spellcheck: "false" });
  const list = `${attributes.id}-list`;
  const choices = h(
    "datalist",
    { id: list },
    offered[kind].map((choice) => h("option", { value: choice })),
  );
  const input = h("input", { ...attributes, type: "text", list, spellcheck: "false", required: name === "model" });
  input.append(choices);
  return input;
}

/** Asks for the plan; a second click on the button while it is computed drops the first. */
async function run() {
  asking?.abort();
  const control_ = new AbortController();
  asking = control_;
  const fields = Object.fromEntries([...new FormData(byId("plan-form"))].filter(([name]) => name !== "verb"));
  const began = performance.now();
  const tick = () => {
    byId("plan-wait").textContent = t("plan-busy", { time: roundTime(Math.round((performance.now() - began) / 1000)) });
  };
  const timer = setInterval(tick, 1000);
  byId("plan-wait").textContent = t("loading");
  try {
    made = { ...(await askJson("page/plan", { body: { verb, fields }, signal: control_.signal })), failed: null };
  } catch (error) {
    if (error.name === "AbortError") return;
    made = { failed: error.message };
  } finally {
    clearInterval(timer);
    if (asking === control_) {
      asking = null;
      byId("plan-wait").textContent = "";
    }
  }
  drawResult();
  byId("plan-result").focus({ preventScroll: true });
  byId("plan-result").scrollIntoView({ block: "start", behavior: "instant" });
}

function drawResult() {
  if (!made) return;
  if (made.failed) {
    byId("plan-result").replaceChildren(h("p", { class: "alert", role: "alert", lang: "en" }, made.failed));
    return;
  }
  byId("plan-result").replaceChildren(
    h("h2", { class: "plan-title" }, made.title[language()]),
    ...made.sections[language()].map(drawSection),
    h("section", { class: "part" }, h("h2", {}, t("same-command")), codeBlock(made.command, "sh")),
  );
}
