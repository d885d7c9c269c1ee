// The serving part of the bill: what it cost, what the price lists ask, the margin, where the machine's time went;
// and what others reported of theirs.

import { shares, tone } from "./charts.js";
import { h } from "./dom.js";
import { fact, grid } from "./grid.js";
import { count, duration, hours, money, percent, t, whole } from "./i18n.js";

/** `serving` as `centime bill --json` has it. The list price is a price list's, the cost the whole machine's. */
export function drawServing(serving) {
  return h(
    "div",
    {},
    h("h2", {}, t("margin")),
    facts(serving),
    ...time(serving),
    serving.lines.length > 0 && byKey(serving),
  );
}

const amount = (value, currency) => (value === null || !currency ? "–" : money(value, currency));

function facts({ machine_cost: cost, machine_currency: currency, machine_cost_of_requests: requests, total, margin }) {
  const one = (...figure) => h("div", {}, fact(...figure));
  const tokens = t("served-tokens", {
    prompt: count(total.prompt_tokens),
    hit: count(total.hit_tokens),
    output: count(total.output_tokens),
  });
  return h(
    "dl",
    { class: "facts" },
    one(t("served-requests"), whole(total.requests), tokens),
    one(
      t("cost-machine"),
      amount(cost, currency),
      requests !== null && currency && t("of-requests", { cost: money(requests, currency) }),
    ),
    one(t("cost-list"), amount(total.list_price, total.currency)),
    one(t("margin-left"), margin === null ? "–" : percent(margin), t("margin-how")),
  );
}

function time({ finished_ns: finished, unfinished_ns: unfinished, idle_ns: idle, other_ns: other }) {
  const parts = [
    { name: t("time-finished"), value: finished, colour: tone(0) },
    { name: t("time-unfinished"), value: unfinished, colour: tone(3) },
    { name: t("time-other"), value: other, colour: tone(4) },
    { name: t("time-idle"), value: idle, colour: "var(--edge)" },
  ].filter(({ value }) => value > 0);
  return [h("h3", { class: "quietly" }, t("time-of-serving")), ...shares(parts, (ns) => duration(ns / 1e9))];
}

function byKey({ lines, machine_currency: currency }) {
  const head = ["key-name", ...ASKED, "cost-machine"].map((key) => t(key));
  const rows = lines.map((line) => [line.key || t("no-key"), ...asked(line), amount(line.machine_cost, currency)]);
  return h("div", { class: "by-key" }, grid({ head, rows, label: t("margin") }));
}

/** What one key was asked for, by price list: all that it may see of the bill. */
export function drawAsked(lines) {
  return grid({ head: ASKED.map((key) => t(key)), rows: lines.map(asked), label: t("bill") });
}

const ASKED = ["cost-list", "served-requests", "tokens-in", "tokens-hit", "tokens-out", "asked"];

const asked = (line) => [
  terms(line),
  whole(line.requests),
  ...[line.prompt_tokens, line.hit_tokens, line.output_tokens].map((tokens) => count(tokens)),
  amount(line.list_price, line.currency),
];

function terms({ price_list: name, hours }) {
  const when = { peak: t("peak"), "off-peak": t("off-peak") }[hours];
  return !name ? "–" : when ? t("price-terms", { name, when }) : name;
}

/** What others reported (`centime bill --import`): in no other line of the bill. */
export function drawImported(lines) {
  const heads = [
    "reported-by",
    "device",
    "device-hours",
    "served-requests",
    "tokens-in",
    "tokens-out",
    "cost",
    "cost-list",
  ];
  const rows = lines.map((line) => [
    `${line.source}: ${line.name}`,
    line.device ?? "",
    line.device_ns ? hours(line.device_hours) : "",
    ...[line.requests, line.prompt_tokens, line.output_tokens].map((number) => (number ? count(number) : "")),
    amount(line.cost, line.cost_currency),
    amount(line.list_price, line.currency),
  ]);
  return h(
    "div",
    {},
    h("h2", {}, t("imported-title")),
    grid({ head: heads.map((key) => t(key)), rows, label: t("imported-title") }),
    h("p", { class: "note" }, t("imported-note")),
  );
}
