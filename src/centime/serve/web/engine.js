// The live view of the engine: asked once a second while it is looked at, the last two minutes drawn.

import { askJson } from "./api.js";
import { shares, spark, tone } from "./charts.js";
import { byId, h } from "./dom.js";
import { count, duration, money, onLanguage, percent, plain, t, whole } from "./i18n.js";

const EVERY_MS = 1000;
const ROOM = 120; // samples kept

const box = byId("engine");
let samples = [];
let failed = null;
let timer = 0;

export function startEngine() {
  document.addEventListener("visibilitychange", () => timer && !document.hidden && sample());
  onLanguage(draw);
}

export function showEngine() {
  timer ||= setInterval(() => !document.hidden && sample(), EVERY_MS);
  sample();
}

export function hideEngine() {
  clearInterval(timer);
  timer = 0;
}

let asking = false;

async function sample() {
  if (asking) return;
  asking = true;
  try {
    samples.push(await askJson("page/engine"));
    samples = samples.slice(-ROOM);
    failed = null;
  } catch (error) {
    failed = error.code === 404 ? t("not-here") : error.message;
    if (error.code === 404) hideEngine();
  }
  asking = false;
  draw();
}

/** Money per million output tokens if the machine went on as in this second: its price an hour over its speed. */
function perMillion({ price, output_tokens_per_second: speed }) {
  return price && speed > 0 ? (price.per_hour / 3600 / speed) * 1e6 : null;
}

function draw() {
  const now = samples.at(-1);
  if (!now) {
    box.replaceChildren(h("p", { class: failed ? "note" : "waiting" }, failed ?? t("loading")));
    return;
  }
  const { model, context, device, cache, drafts, price } = now;
  box.replaceChildren(
    ...[
      h("p", { class: "lead" }, t("engine-of", { model, context: whole(context), device })),
      failed && h("p", { class: "alert", role: "alert" }, t("paused", { why: failed })),
      headline(now, price),
      h("h2", { class: "quietly" }, t("last-minutes")),
      h(
        "div",
        { class: "gauges" },
        gauge("output-speed", (at) => at.output_tokens_per_second, plain, t("tokens-a-second")),
        gauge("batch", (at) => at.running, whole, t("batch-small")),
        gauge("queue", (at) => at.waiting, whole, t("queue-small")),
        gauge("cache", ({ cache: { used, total } }) => used / total, percent, cacheSmall(cache), 1),
        cache.hit_rate !== null && gauge("hit-rate", (at) => at.cache.hit_rate, percent, t("hit-rate-small"), 1),
        drafts.made > 0 && gauge("drafts", keptShare, percent, t("drafts-small", { made: count(drafts.made) }), 1),
      ),
      ...machineTime(now.machine_ns),
    ].filter(Boolean),
  );
}

function headline(now, price) {
  const cost = perMillion(now);
  const small = price
    ? t("now-price-of", {
        price: money(price.per_hour, price.currency),
        kind: t(`kind-${price.kind}`),
        date: price.date,
      })
    : t("no-price");
  const values = samples.map(perMillion);
  const label = t("chart-now", {
    name: t("now-price"),
    value: cost === null ? "–" : money(cost, price.currency),
    most: price ? money(Math.max(0, ...values), price.currency) : "–",
  });
  return h(
    "div",
    { class: "headline" },
    h(
      "dl",
      {},
      h("dt", {}, t("now-price")),
      h("dd", { class: "figure" }, cost === null ? "–" : money(cost, price.currency)),
      h("dd", { class: "fine" }, price && cost === null ? `${t("now-price-idle")} · ${small}` : small),
    ),
    spark(values, { top: usual(values), room: ROOM, label, colour: tone(1) }),
  );
}

/** Four times the median: a second with hardly a token costs a fortune, and would flatten all the others. */
function usual(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return 4 * known[Math.floor(known.length / 2)];
}

function gauge(name, of, format, small, top = 0) {
  const values = samples.map(of);
  const now = format(values.at(-1));
  const label = t("chart-now", { name: t(name), value: now, most: format(Math.max(...values)) });
  return h(
    "div",
    { class: "gauge" },
    h("dl", {}, h("dt", {}, t(name)), h("dd", { class: "figure" }, now), h("dd", { class: "fine" }, small)),
    spark(values, { top, room: ROOM, label }),
  );
}

const cacheSmall = ({ used, total, block_tokens: size }) =>
  t("cache-small", { used: count(used * size), total: count(total * size) });
const keptShare = ({ drafts: { kept, made } }) => (made ? kept / made : null);

function machineTime({ requests, idle }) {
  const parts = [
    { name: t("time-requests"), value: requests, colour: tone(0) },
    { name: t("time-idle"), value: idle, colour: "var(--edge)" },
  ];
  return [h("h2", { class: "quietly" }, t("machine-time")), ...shares(parts, (ns) => duration(ns / 1e9))];
}
