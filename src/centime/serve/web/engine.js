// The live view of the engine: asked once a second while it is looked at, after the last minutes as the server saw them.

import { askJson } from "./api.js";
import { shares, spark, tone } from "./charts.js";
import { byId, h } from "./dom.js";
import { fact } from "./grid.js";
import { count, duration, money, ofDate, onLanguage, percent, plain, roundTime, t, whole } from "./i18n.js";

const EVERY_MS = 1000;

const box = byId("engine");
let latest = null; // the whole view
let readings = []; // of the last `span` seconds, oldest first
let span = 300;
let failed = null;
let timer = 0;

export function startEngine() {
  document.addEventListener("visibilitychange", () => timer && !document.hidden && look());
  onLanguage(draw);
}

export function showEngine() {
  timer ||= setInterval(() => !document.hidden && look(), EVERY_MS);
  look(true);
}

export function hideEngine() {
  clearInterval(timer);
  timer = 0;
}

let asking = false;

/** One more reading; `anew`: with those that the server has taken meanwhile. */
async function look(anew = false) {
  if (asking) return;
  asking = true;
  try {
    if (anew) {
      const past = await askJson("page/engine/past");
      [readings, span] = [past.readings, past.span_s];
    }
    latest = await askJson("page/engine");
    readings = [...readings, latest.now].filter(({ at }) => at > latest.now.at - span - 5);
    failed = null;
  } catch (error) {
    failed = error.code === 404 ? t("not-here") : error.message;
    if (error.code === 404) hideEngine();
  }
  asking = false;
  draw();
}

/** Money per million output tokens if the machine went on as in this second: its price an hour over its speed. */
const perMillion = ({ output_tokens_per_second: speed }) =>
  latest.price && speed > 0 ? (latest.price.per_hour / 3600 / speed) * 1e6 : null;

function draw() {
  if (!latest) {
    box.replaceChildren(h("p", { class: failed ? "note" : "waiting" }, failed ?? t("loading")));
    return;
  }
  const { model, context, device, cache, drafts } = latest;
  box.replaceChildren(
    ...[
      h("p", { class: "lead" }, t("engine-of", { model, context: whole(context), device })),
      failed && h("p", { class: "alert", role: "alert" }, t("paused", { why: failed })),
      headline(),
      h("h2", { class: "quietly" }, t("last-minutes", { time: roundTime(span) })),
      h(
        "div",
        { class: "gauges" },
        gauge("output-speed", (at) => at.output_tokens_per_second, plain, t("tokens-a-second")),
        gauge("batch", (at) => at.running, plain, t("batch-small")),
        gauge("queue", (at) => at.waiting, plain, t("queue-small")),
        gauge("cache", (at) => at.cache, percent, cacheSmall(cache), 1),
        latest.now.hits !== null && gauge("hit-rate", (at) => at.hits, percent, t("hit-rate-small"), 1),
        drafts.made > 0 && gauge("drafts", (at) => at.drafts, percent, t("drafts-small", { made: count(drafts.made) }), 1),
      ),
      ...machineTime(latest.machine_ns),
    ].filter(Boolean),
  );
}

function headline() {
  const { price, now } = latest;
  const cost = perMillion(now);
  const small = price
    ? t("now-price-of", {
        price: money(price.per_hour, price.currency),
        kind: t(`kind-${price.kind}`),
        ofDate: ofDate(price.date),
      })
    : t("no-price");
  const points = series(perMillion);
  const format = (value) => (price ? money(value, price.currency) : "–");
  return h(
    "div",
    { class: "headline" },
    h(
      "dl",
      {},
      fact(
        t("now-price"),
        cost === null ? "–" : format(cost),
        price && cost === null ? `${t("now-price-idle")} · ${small}` : small,
      ),
    ),
    price &&
      spark(points, { span, to: now.at, top: usual(points), format, name: t("now-price"), colour: tone(1) }),
  );
}

const series = (of) => readings.map((reading) => ({ at: reading.at, value: of(reading) }));

/** Four times the median: a second with hardly a token costs a fortune, and would flatten all the others. */
function usual(points) {
  const known = points.flatMap(({ value }) => value ?? []).sort((a, b) => a - b);
  return known.length ? 4 * known[Math.floor(known.length / 2)] : 0;
}

function gauge(name, of, format, small, top = 0) {
  const value = of(latest.now);
  return h(
    "div",
    { class: "gauge" },
    h("dl", {}, fact(t(name), value === null ? "–" : format(value), small)),
    spark(series(of), { span, to: latest.now.at, top, format, name: t(name) }),
  );
}

const cacheSmall = ({ used, total, block_tokens: size }) =>
  t("cache-small", { used: count(used * size), total: count(total * size) });

function machineTime({ requests, idle }) {
  const parts = [
    { name: t("time-requests"), value: requests, colour: tone(0) },
    { name: t("time-idle"), value: idle, colour: "var(--edge)" },
  ];
  return [h("h2", { class: "quietly" }, t("machine-time")), ...shares(parts, (ns) => duration(ns / 1e9))];
}
