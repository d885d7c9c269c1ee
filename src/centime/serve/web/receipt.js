// What an answer cost, under the answer: money of the machine and of the price list, tokens, speed.

import { h } from "./dom.js";
import { count, duration, money, plain, t, whole } from "./i18n.js";

/**
 * The receipt of an answer: `usage` as the server sent it, or as this page estimates it for an answer that was stopped
 * (forecast.js); `timing` {asked, first, last} in seconds of this browser's clock.
 */
export function receipt(usage, timing) {
  const items = usage ? [...moneyItems(usage), ...tokenItems(usage)] : [];
  if (timing.first) {
    const rate = usage && speed(usage, timing);
    const waited = duration(timing.first - timing.asked);
    items.push(
      rate
        ? item("speed", t("tokens-second", { n: plain(rate) }), t("waited", { time: waited }))
        : item("first-token", waited),
    );
  }
  return items.length ? h("dl", { class: "receipt" }, items) : null;
}

/** The cost as words, for who listens: what the machine cost, else what the list asks; null without either. */
export function costInWords(usage) {
  const cost = usage?.cost;
  if (cost?.machine_cost != null) return about(usage, money(Number(cost.machine_cost), cost.machine_currency));
  if (cost?.list_price != null) return about(usage, money(Number(cost.list_price), cost.currency));
  return null;
}

const about = (usage, figure) => (usage.estimated ? t("about", { figure }) : figure);

function item(label, value, small = "") {
  return h("div", {}, h("dt", {}, t(label)), h("dd", {}, value), small && h("dd", { class: "fine" }, small));
}

function moneyItems(usage) {
  const { cost } = usage;
  const items = [];
  if (cost?.machine_cost != null) {
    items.push(item("cost-machine", about(usage, money(Number(cost.machine_cost), cost.machine_currency))));
  }
  if (cost?.list_price != null) {
    const when = { peak: t("peak"), "off-peak": t("off-peak") }[cost.hours];
    const terms = when ? t("price-terms", { name: cost.price_list, when }) : cost.price_list;
    items.push(item("cost-list", about(usage, money(Number(cost.list_price), cost.currency)), terms));
  }
  return items;
}

function tokenItems(usage) {
  if (usage.estimated)
    return [
      usage.prompt_tokens !== null && item("tokens-in", about(usage, whole(usage.prompt_tokens))),
      item("tokens-out", about(usage, whole(usage.completion_tokens))),
    ];
  const hit = usage.prompt_cache_hit_tokens ?? usage.prompt_tokens_details?.cached_tokens ?? 0;
  const miss = usage.prompt_tokens - hit;
  const thought = usage.completion_tokens_details?.reasoning_tokens ?? 0;
  return [
    item("tokens-in", whole(usage.prompt_tokens), hit ? t("hit-miss", { hit: count(hit), miss: count(miss) }) : ""),
    item("tokens-out", whole(usage.completion_tokens), thought ? t("of-them-thought", { tokens: count(thought) }) : ""),
  ];
}

/** Tokens a second after the first, as this browser saw them come. */
function speed(usage, timing) {
  const seconds = timing.last - timing.first;
  return usage.completion_tokens > 1 && seconds > 0 ? (usage.completion_tokens - 1) / seconds : null;
}
