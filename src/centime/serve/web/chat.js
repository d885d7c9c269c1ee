// The conversation: what was said, one answer at a time from the server, and what the person does to it.

import { ServerError, ask, askJson, events } from "./api.js";
import { byId, h, keptHere } from "./dom.js";
import { isDrawing } from "./growing.js";
import { askPrices, forecast, pricesInWords } from "./forecast.js";
import { onLanguage, t } from "./i18n.js";
import { costInWords } from "./receipt.js";
import { sampling, startSettings, systemPrompt } from "./settings.js";
import { finish, hear } from "./speak.js";
import { AnswerTurn, UserTurn } from "./turn.js";

const field = byId("prompt");
let turns = remembered(); // as turn.js describes them
let views = [];
let running = null; // the AbortController of the answer that comes
let following = true; // the end of the conversation is in sight

export function startChat() {
  startSettings();
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  field.addEventListener("input", () => {
    grow();
    forecast(field.value.trim(), () => [...messages(), { role: "user", content: field.value }]);
  });
  field.addEventListener("keydown", typed);
  document.addEventListener("keydown", (event) => event.key === "Escape" && running && stop());
  byId("stop").addEventListener("click", stop);
  byId("new-chat").addEventListener("click", begin);
  window.addEventListener("pagehide", stop); // what came so far is kept as stopped, not as a failure
  byId("latest").addEventListener("click", follow);
  window.addEventListener("scroll", scrolled, { passive: true });
  new ResizeObserver(() => following && (running || isDrawing()) && follow()).observe(byId("turns"));
  onLanguage(() => {
    views.forEach((view) => view.draw());
    drawEmpty();
  });
  drawAll();
}

/** Called each time the view is shown. */
export async function showChat() {
  drawEmpty();
  try {
    await askModels();
    drawEmpty();
  } catch (error) {
    byId("empty").append(h("p", { class: "alert", role: "alert" }, error.message));
  }
}

/** The models that the server has and what it asks for them, until it told them once. Throws ServerError. */
async function askModels() {
  const select = byId("model");
  if (select.options.length) return;
  const { data } = await askJson("v1/models");
  await askPrices();
  select.replaceChildren(...data.map(({ id }) => h("option", { value: id }, id)));
}

function typed(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && !field.value && !running) {
    const last = views.findLast((view) => view instanceof UserTurn);
    if (last) {
      event.preventDefault();
      last.edit();
    }
  }
}

/** The field is as high as its text, up to a third of the window. */
function grow() {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, window.innerHeight / 3)}px`;
}

function send() {
  const text = field.value.trim();
  if (!text || running) return;
  field.value = "";
  grow();
  forecast("");
  turns.push({ role: "user", text });
  answer();
}

function begin() {
  stop();
  turns = [];
  save();
  drawAll();
  field.focus();
}

function stop() {
  running?.abort();
}

/** The person changed message `index`: what came after it is dropped. */
function edited(index, text) {
  stop();
  turns = turns.slice(0, index);
  turns.push({ role: "user", text });
  answer();
  field.focus();
}

/** A new answer to the last message, or another one beside those that there are. */
async function answer() {
  const last = turns.at(-1);
  const variant = {
    reasoning: "",
    text: "",
    usage: null,
    finish: null,
    error: null,
    busy: true,
    timing: { asked: now() },
  };
  if (last.role === "assistant") last.at = last.variants.push(variant) - 1;
  else turns.push({ role: "assistant", variants: [variant], at: 0 });
  drawAll();
  const view = views.at(-1);
  const control = new AbortController();
  setRunning(control);
  follow();
  save();
  finish(t("answering"));
  try {
    await receive(variant, view, control.signal);
    if (!variant.finish) throw new ServerError(t("error-cut"), 0);
  } catch (error) {
    if (error.name === "AbortError") variant.finish = "stopped";
    else if (error instanceof ServerError) variant.error = error.message;
    else throw error;
  } finally {
    variant.busy = false;
    view.update();
    view.drawFoot();
    if (following) follow();
    if (running === control) setRunning(null);
    save();
    finish(closing(variant));
  }
}

function closing({ error, finish: how, usage }) {
  const cost = costInWords(usage);
  return (
    error ?? [t(how === "stopped" ? "is-stopped" : "answer-done"), cost ? t("answer-cost", { cost }) : ""].join(" ")
  );
}

/** Streams one answer into `variant`; the page is drawn at most once a frame. */
async function receive(variant, view, signal) {
  let drawn = 0;
  const draw = () => {
    drawn ||= requestAnimationFrame(() => {
      drawn = 0;
      if (variant.busy) view.update();
    });
  };
  await askModels();
  const body = {
    model: byId("model").value,
    messages: messages(),
    stream: true,
    stream_options: { include_usage: true },
    ...sampling(),
  };
  for await (const event of events(await ask("v1/chat/completions", { body, signal }))) {
    if (event.error) throw new ServerError(event.error.message, 0);
    variant.usage = event.usage ?? variant.usage;
    const choice = event.choices?.[0];
    if (!choice) continue;
    const { reasoning_content: reasoning, content } = choice.delta ?? {};
    if (reasoning || content) {
      variant.timing.first ??= now();
      variant.timing.last = now();
    }
    if (reasoning) {
      variant.reasoning += reasoning;
      variant.thoughtSeconds = now() - variant.timing.first;
    }
    if (content) {
      variant.text += content;
      hear(content);
    }
    variant.finish = choice.finish_reason ?? variant.finish;
    draw();
  }
}

/** The conversation as the API takes it: the answers that are shown, without their reasoning. */
function messages() {
  const system = systemPrompt();
  const said = turns.flatMap(({ role, text, variants, at }) => {
    if (role === "user") return [{ role, content: text }];
    const shown = variants[at];
    return shown.busy || !shown.text ? [] : [{ role, content: shown.text }];
  });
  return system ? [{ role: "system", content: system }, ...said] : said;
}

function drawAll() {
  views = turns.map((turn, index) =>
    turn.role === "user"
      ? new UserTurn(turn, { edited: (text) => edited(index, text) })
      : new AnswerTurn(turn, { again: index === turns.length - 1 ? () => !running && answer() : null, chosen: save }),
  );
  byId("turns").replaceChildren(...views.map((view) => view.element));
  drawEmpty();
}

function drawEmpty() {
  const empty = byId("empty");
  empty.hidden = turns.length > 0;
  empty.replaceChildren(
    h("p", { class: "title" }, t("empty-title")),
    h("p", {}, t("empty-text")),
    h("p", { class: "fine" }, pricesInWords()),
  );
}

function setRunning(control) {
  running = control;
  byId("send").hidden = Boolean(control);
  byId("stop").hidden = !control;
  byId("latest").hidden = true;
}

/** A reload keeps the conversation, a closed tab forgets it. */
function save() {
  keptHere.set("turns", JSON.stringify(turns));
}

function remembered() {
  const found = JSON.parse(keptHere.get("turns") ?? "[]");
  for (const variant of found.flatMap((turn) => turn.variants ?? [])) {
    if (variant.busy) Object.assign(variant, { busy: false, finish: "stopped" }); // the reload cut it
  }
  return found;
}

const now = () => performance.now() / 1000;
const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 60;

/** An answer that grows is followed to its end, unless the person went elsewhere. */
function scrolled() {
  following = atEnd();
  byId("latest").hidden = !running || following;
}

function follow() {
  following = true;
  window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
}
