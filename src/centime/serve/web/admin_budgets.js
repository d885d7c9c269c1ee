// The budgets: a line of facts each, and the forms that make, change and remove one.

import { askAdmin } from "./admin_api.js";
import { adminForm, opener } from "./admin_form.js";
import { h } from "./dom.js";
import { money, t } from "./i18n.js";

const WINDOWS = [
  ["month", "admin-month"],
  ["day", "admin-day"],
  ["ever", "admin-ever"],
];
const HARD = [
  ["true", "admin-hard"],
  ["false", "admin-soft"],
];

/** The form of a new budget, or the button that opens it. */
export function newBudget(page) {
  const at = "new-budget";
  if (page.open.has(at)) return page.open.get(at);
  const make = (close) =>
    adminForm({
      id: "budget-new",
      words: "admin-make",
      cancel: close,
      fields: [
        { name: "target", words: "admin-target", hint: "admin-target-hint", example: "acme/research, key:alice, acme/user:*", required: true },
        { name: "amount", words: "admin-amount", hint: "admin-money-hint", required: true },
        { name: "per", words: "admin-per", choices: WINDOWS, value: "month" },
        ...terms({ hard: true, zone: "", alerts: "50,80,100", webhook: "" }),
      ],
      async send(body) {
        const made = await askAdmin("budgets", { method: "POST", body });
        page.open.delete(at);
        await page.changed(t("admin-made", { name: made.target }));
      },
    });
  return h("div", { class: "row" }, opener(page, { id: at, at, words: "admin-new-budget", look: "main", make }));
}

const terms = ({ hard, zone, alerts, webhook }) => [
  { name: "hard", words: "admin-when-spent", choices: HARD, kind: "flag", value: String(hard) },
  { name: "zone", words: "admin-zone", hint: "admin-zone-hint", value: zone },
  { name: "alerts", words: "admin-alerts", hint: "admin-alerts-hint", value: alerts },
  { name: "webhook", words: "admin-webhook", hint: "admin-webhook-hint", value: webhook },
];

/** All budgets, with what of their windows now is spent. */
export function drawBudgets(page, { budgets, tree }) {
  if (!budgets.length) return h("p", { class: "note" }, t("admin-no-budget"));
  const counts = new Map();
  const count = (node) => {
    for (const one of node.budgets) if (one.who === null) counts.set(`${one.target} ${one.per}`, one);
    node.below.forEach(count);
  };
  tree.forEach(count);
  const known = budgets.map((one) => ({ ...one, ...counts.get(`${one.target} ${one.per}`) }));
  return h(
    "ul",
    { class: "entries", id: "budgets" },
    known.map((one) => entry(page, one)),
  );
}

function entry(page, budget) {
  const at = `budget:${budget.per}:${encodeURIComponent(budget.target)}`; // no ids with spaces
  const form = page.open.get(at);
  const name = `${budget.target}, ${t(`admin-${budget.per}`)}`;
  const button = (what, words, make) =>
    opener(page, { id: `${what}:${at}`, at, words, label: `${t(words)} ${name}`, make: (close) => make(page, budget, at, close) });
  return h(
    "li",
    {},
    h("h3", {}, budget.target),
    h("p", { class: "fine" }, facts(budget).join(" · ")),
    form ?? h("div", { class: "row" }, button("change", "admin-change", changing), button("remove", "admin-remove", removing)),
  );
}

function facts(budget) {
  const shown = (value) => money(Number(value), budget.currency);
  return [
    `${shown(budget.limit)} ${t(`admin-${budget.per}`)}`,
    budget.spent !== undefined && t("admin-spent", { spent: shown(budget.spent), left: shown(budget.left) }),
    !budget.hard && t("admin-soft"),
    budget.zone,
    budget.alerts.length > 0 && t("admin-alerts-at", { shares: budget.alerts.join(", ") }),
    budget.webhook,
  ].filter(Boolean);
}

const path = (budget) => `budgets/${encodeURIComponent(budget.target)}?per=${budget.per}`;

function changing(page, budget, at, close) {
  const { hard, zone, alerts, webhook } = budget;
  return adminForm({
    id: at,
    words: "admin-change",
    cancel: close,
    fields: [
      { name: "amount", words: "admin-amount", hint: "admin-money-hint", value: `${budget.limit} ${budget.currency}` },
      ...terms({ hard, zone: zone ?? "", alerts: alerts.join(","), webhook: webhook ?? "" }),
    ],
    async send(body) {
      await askAdmin(path(budget), { method: "PATCH", body });
      page.open.delete(at);
      await page.changed(t("admin-changed", { name: budget.target }));
    },
  });
}

function removing(page, budget, at, close) {
  const form = adminForm({
    id: `remove-${at}`,
    words: "admin-remove",
    danger: true,
    cancel: close,
    fields: [],
    async send() {
      await askAdmin(path(budget), { method: "DELETE" });
      page.open.delete(at);
      await page.changed(t("admin-removed", { name: budget.target }));
    },
  });
  form.prepend(h("p", {}, t("admin-remove-why", { name: budget.target })));
  return form;
}
