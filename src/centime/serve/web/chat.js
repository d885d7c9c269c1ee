// The conversation: what was said, one answer at a time from the server, and what the person does to it.

import { ServerError, askJson } from "./api.js";
import { byId, h, keptHere } from "./dom.js";
import { askPrices, estimated, forecast, pricesInWords } from "./forecast.js";
import { isDrawing } from "./growing.js";
import { onLanguage, t } from "./i18n.js";
import { askMachine } from "./machine.js";
import { isBase, mode, showMode, startMode } from "./mode.js";
import { costInWords } from "./receipt.js";
import { sampling, startSettings, systemPrompt } from "./settings.js";
import { finish, hear } from "./speak.js";
import { now, receive } from "./stream.js";
import { AnswerTurn, UserTurn } from "./turn.js";

const field = byId("prompt");
let turns = remembered(); // as turn.js describes them
let views = [];
let running = null; // the AbortController of the answer that comes
let following = true; // the end of the conversation is in sight
let before = 0; // where the page was scrolled to

export function startChat() {
  startSettings();
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  field.addEventListener("input", () => {
    grow();
    look();
  });
  startMode(() => {
    drawWords();
    look();
    field.focus();
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
    drawWords();
  });
  drawAll();
}

/** Called each time the view is shown. */
export async function showChat() {
  drawWords();
  try {
    await askModels();
    drawWords();
  } catch (error) {
    byId("empty").append(h("p", { class: "alert", role: "alert" }, error.message));
  }
}

/** The models that the server has and what it asks for them, until it told them once. Throws ServerError. */
async function askModels() {
  const select = byId("model");
  if (select.options.length) return;
  const { data } = await askJson("v1/models");
  await Promise.all([askPrices(), askMachine()]);
  select.replaceChildren(...data.map(({ id }) => h("option", { value: id }, id)));
}

/** The field's price, as it stands. */
function look() {
  const prompt = () =>
    mode() === "text" ? { prompt: field.value } : { messages: messages({ text: field.value }) };
  forecast(field.value.trim(), prompt);
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
  const text = mode() === "text" ? field.value : field.value.trim();
  if (!text.trim() || running) return;
  field.value = "";
  grow();
  forecast("");
  turns.push({ role: "user", text, mode: mode() });
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
  const before = turns[index];
  turns = turns.slice(0, index);
  turns.push({ ...before, text });
  answer();
  field.focus();
}

/** A new answer to the last message, or another one beside those that there are. */
async function answer() {
  const last = turns.at(-1);
  const variant = {
    reasoning: "",
    text: "",
    chunks: 0,
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
  const prompt = asked(turns.length - 2);
  const control = new AbortController();
  setRunning(control);
  follow();
  save();
  finish(t("answering"));
  try {
    await stream(variant, view, prompt, control.signal);
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
    if (variant.finish === "stopped" && variant.chunks && !variant.usage) {
      variant.usage = await estimated(prompt, variant.reasoning + variant.text, variant.chunks);
      view.drawFoot();
      if (following) follow();
      save();
    }
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
async function stream(variant, view, prompt, signal) {
  let drawn = 0;
  const grew = (text) => {
    if (text) hear(text);
    drawn ||= requestAnimationFrame(() => {
      drawn = 0;
      if (variant.busy) view.update();
    });
  };
  await askModels();
  const body = { model: byId("model").value, ...prompt, ...sampling() };
  await receive(variant, "prompt" in prompt ? "text" : "chat", body, { signal, grew });
}

/** What message `index` asks, for the API: a text to go on with by itself, a chat with what was said before. */
function asked(index) {
  const turn = turns[index];
  return turn.mode === "text" ? { prompt: turn.text } : { messages: messages(turn, index) };
}

/** A message and the chat before it as the API takes them: the answers that are shown, without their reasoning. */
function messages({ text }, index = turns.length) {
  const system = systemPrompt();
  const said = turns.slice(0, index).flatMap(({ role, text: before, variants, at }, place) => {
    if ((role === "user" ? turns[place] : turns[place - 1]).mode === "text") return [];
    if (role === "user") return [{ role, content: before }];
    const shown = variants[at];
    return shown.busy || !shown.text ? [] : [{ role, content: shown.text }];
  });
  said.push({ role: "user", content: text });
  return system ? [{ role: "system", content: system }, ...said] : said;
}

function drawAll() {
  views = [];
  turns.forEach((turn, index) => views.push(turn.role === "user" ? userTurn(turn, index) : answerTurn(turn, index)));
  byId("turns").replaceChildren(...views.map((view) => view.element));
  drawWords();
}

const userTurn = (turn, index) => new UserTurn(turn, { edited: (text) => edited(index, text) });

function answerTurn(turn, index) {
  const again = index === turns.length - 1 ? () => !running && answer() : null;
  const before = turns[index - 1];
  if (before.mode !== "text") return new AnswerTurn(turn, { again, chosen: save });
  const user = views[index - 1];
  const goOn = () => {
    if (running) return;
    turns.push({ role: "user", text: before.text + turn.variants[turn.at].text, mode: "text" });
    answer();
  };
  return new AnswerTurn(turn, { again, chosen: save, prompt: before.text, edit: () => user.edit(), goOn });
}

/** What depends on the mode and the language: the field's words, and the empty page. */
function drawWords() {
  showMode();
  const text = mode() === "text";
  byId("prompt").placeholder = t(text ? "your-text" : "your-message");
  byId("send").textContent = t(text ? "complete" : "send");
  byId("hint").textContent = t(text ? "keys-text" : "keys");
  const empty = byId("empty");
  empty.hidden = turns.length > 0;
  empty.replaceChildren(
    h("p", { class: "title" }, t("empty-title")),
    h("p", {}, t(text ? "empty-completion" : "empty-text")),
    text && isBase() ? h("p", { class: "fine" }, t("is-base")) : "",
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

const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 60;

/** An answer that grows is followed to its end, unless the person went elsewhere. */
function scrolled() {
  if (atEnd()) following = true;
  else if (window.scrollY < before) following = false; // down, the answer may only have grown meanwhile
  before = window.scrollY;
  byId("latest").hidden = !running || following;
}

function follow() {
  following = true;
  window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
}
