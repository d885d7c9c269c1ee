// A form that sends what was changed in it, and shows what is wrong beside the field that it is about.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/**
 * fields: [{name, words, hint, example, value, choices, kind, required}]; `words` and `hint` are keys of words, `value`
 * what the server has now, and what it takes where nothing is sent. kind: "count" for whole numbers, of which an empty one
 * is 0, "flag" for "true" and "false". send(changes) does it; words and danger: of its button.
 */
export function adminForm({ id, fields, words, danger = false, send, cancel }) {
  const button = h("button", { type: "submit", class: danger ? "main stop" : "main", "data-t": words });
  const general = h("p", { class: "wrong", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    clear(form, general);
    button.disabled = true; // pressed twice, a key would be asked for twice
    try {
      await send(changes(form, fields));
    } catch (error) {
      tell(form, general, error);
    } finally {
      button.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "planner", id, onsubmit: submit },
    fields.length > 0 &&
      h(
        "div",
        { class: "fields" },
        fields.map((field) => labelled(id, field)),
      ),
    general,
    h(
      "div",
      { class: "row" },
      button,
      cancel && h("button", { type: "button", class: "quiet", onclick: cancel, "data-t": "cancel" }),
    ),
  );
  return form;
}

function labelled(form, { name, words, hint, example, value = "", choices, kind, required = false }) {
  const id = `${form}-${name}`;
  const attributes = { id, name, required, autocomplete: "off", "aria-describedby": `${hint ? `${id}-hint ` : ""}${id}-wrong` };
  const input = choices
    ? h(
        "select",
        attributes,
        choices.map(([choice, word]) => h("option", { value: choice, "data-t": word })),
      )
    : h("input", { ...attributes, ...(kind === "count" && { type: "number", min: 0, step: 1 }), placeholder: example, spellcheck: "false" });
  input.value = value;
  return h(
    "div",
    { class: "labelled" },
    h("label", { for: id, "data-t": words }),
    input,
    hint && h("span", { class: "fine", id: `${id}-hint`, "data-t": hint }),
    h("span", { class: "wrong", id: `${id}-wrong` }),
  );
}

function changes(form, fields) {
  const body = {};
  for (const { name, value = "", kind } of fields) {
    const typed = form.elements[name].value.trim();
    if (typed === String(value)) continue;
    body[name] = kind === "count" ? Number(typed) : kind === "flag" ? typed === "true" : typed;
  }
  return body;
}

function clear(form, general) {
  general.replaceChildren();
  for (const one of form.querySelectorAll(".labelled .wrong")) one.replaceChildren();
  for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
}

/** The server's sentence: English, whatever the page's language. */
function tell(form, general, error) {
  const input = error.param ? form.elements[error.param] : null;
  if (!input) {
    general.replaceChildren(error.message || t("error-code", { code: error.code }));
    return;
  }
  const said = error.message.startsWith(`${error.param}: `) ? error.message.slice(error.param.length + 2) : error.message;
  const beside = form.querySelector(`#${CSS.escape(`${input.id}-wrong`)}`);
  beside.replaceChildren(h("span", { lang: "en" }, said));
  input.setAttribute("aria-invalid", "true");
  input.focus();
}

/** A button that opens a form in its place: {open, draw} of the page, `at` where it stands, make(close) the form. */
export function opener(page, { id, at, words, label, make, look = "quiet small" }) {
  const close = () => {
    page.open.delete(at);
    page.draw();
    document.getElementById(id)?.focus();
  };
  const press = () => {
    page.open.set(at, make(close));
    page.draw();
    (page.open.get(at).querySelector("input, select") ?? page.open.get(at).querySelector("button")).focus();
  };
  return h("button", { type: "button", class: look, id, "aria-label": label, onclick: press }, t(words));
}
