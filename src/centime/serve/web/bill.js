// The bill, in the shape of Table 1 of the DeepSeek-V3 report: training, what surrounds it, serving and its margin.

import { askJson } from "./api.js";
import { byId, h } from "./dom.js";
import { grid } from "./grid.js";
import { count, duration, has, hours, money, ofDate, onLanguage, percent, plain, ratio, t } from "./i18n.js";
import { noteInWords } from "./notes.js";
import { drawAsked, drawImported, drawServing } from "./serving.js";
import { showSpending } from "./spending.js";

const SECTIONS = ["training", "data", "evaluation", "other", "serving"];
const NAMED = ["n-device-hours", "n-tokens", "n-mfu", "n-energy"]; // the figures before the cost, each with its name
const box = byId("bill");
let bill = null;
let failed = null;
let runs = []; // of everything: a bill of one run names only that one
let run = "";

export function startBill() {
  onLanguage(draw);
  onLanguage(showSpending);
}

export async function showBill() {
  try {
    bill = await askJson(run ? `page/bill?run=${encodeURIComponent(run)}` : "page/bill");
    if (!run) runs = bill.runs ?? [];
    failed = null;
  } catch (error) {
    failed = error.code === 404 && !bill ? t("not-here") : error.message;
  }
  draw();
  await showSpending();
}

function draw() {
  if (!bill) {
    box.replaceChildren(h("p", { class: failed ? "note" : "waiting" }, failed ?? t("loading")));
    return;
  }
  if (bill.key) {
    box.replaceChildren(h("p", { class: "lead" }, t("bill-of-key", { key: bill.key })), drawAsked(bill.lines));
    return;
  }
  box.replaceChildren(
    ...[
      chooser(),
      failed && h("p", { class: "alert", role: "alert" }, failed),
      ...(bill.lines.length ? [table(), legend()] : []),
      !bill.lines.length && !bill.serving && h("p", { class: "lead" }, t("bill-empty")),
      bill.serving && drawServing(bill.serving),
      plan(),
      bill.imported?.length > 0 && drawImported(bill.imported),
      notes(),
    ].filter(Boolean),
  );
}

function chooser() {
  const choose = async (event) => {
    run = event.target.value;
    await showBill();
    byId("bill-run")?.focus();
  };
  const options = [["", t("bill-all")], ...runs.toReversed().map((one) => [one.path ?? one.run, one.path ?? one.run])];
  return h(
    "div",
    { class: "row chooser" },
    h("label", { for: "bill-run" }, t("bill-of")),
    h(
      "select",
      { id: "bill-run", onchange: choose },
      options.map(([value, text]) => h("option", { value, selected: value === run }, text)),
    ),
    h("button", { type: "button", class: "quiet", onclick: showBill }, t("bill-refresh")),
  );
}

/** All lines on one device: it stands above the table, else in columns of its own. */
const oneDevice = () => bill.total.device !== "mixed" && new Set(bill.lines.map((line) => line.devices)).size === 1;

function table() {
  const one = oneDevice();
  const heads = [
    t("stage"),
    ...(one ? [] : [t("device")]),
    t("device-hours"),
    t("tokens"),
    t("mfu"),
    t("energy"),
    t("cost"),
  ];
  const row = (label, line, kind = "") => {
    const figures = cells(line);
    const cost = figures.pop();
    const where = one ? [] : [line.device === "mixed" ? "" : `${line.devices} × ${line.device}`];
    const named = figures.map((cell, index) => cell && t(NAMED[index], { n: cell }));
    const shown = [...where, ...figures];
    return h(
      "tr",
      { class: kind, role: "row" },
      h("th", { scope: "row", role: "rowheader" }, label),
      shown.map((cell) => h("td", { class: "other", role: "cell" }, cell)),
      h("td", { class: "cost", role: "cell" }, cost),
      // A narrow page shows all but the cost in one cell.
      h("td", { class: "rest", role: "cell" }, [...where, ...named].filter(Boolean).join(" · ")),
    );
  };
  const bodies = SECTIONS.map((section) => [section, bill.lines.filter((line) => line.section === section)])
    .filter(([, lines]) => lines.length)
    .map(([section, lines]) =>
      h(
        "tbody",
        { role: "rowgroup" },
        h(
          "tr",
          { class: "section", role: "row" },
          h("th", { scope: "rowgroup", role: "rowheader", colspan: heads.length }, t(`section-${section}`)),
        ),
        lines.map((line) => row(stageName(line.stage), line)),
        section === "training" && row(t("total"), bill.training, "sum"),
      ),
    );
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "bill-title" },
    one && h("p", { class: "fine" }, t("bill-on", { devices: bill.total.devices, device: bill.total.device })),
    h(
      "table",
      { class: "bill lines", role: "table", "aria-labelledby": "bill-title" }, // roles stay when rows become blocks
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          heads.map((head) => h("th", { scope: "col", role: "columnheader" }, head)),
        ),
      ),
      bodies,
      h("tfoot", { role: "rowgroup" }, row(t("everything"), bill.total, "sum")),
    ),
  );
}

/** 'context-2' -> 'Context extension 2'; a stage that the page has no word for is shown as it is booked. */
function stageName(stage) {
  const [, kind, number] = /^(.*?)(?:-(\d+))?$/.exec(stage);
  const key = `stage-${kind}`;
  return `${has(key) ? t(key) : kind}${number ? ` ${number}` : ""}`;
}

const isEstimated = (line) => line.estimated_device_ns > 0;
const energyEstimated = (line) => ["estimated", "mixed"].includes(line.energy_source);

function cells(line) {
  return [
    hours(line.device_hours) + (isEstimated(line) ? "~" : ""),
    line.tokens ? count(line.tokens) : "",
    line.mfu === null ? "" : percent(line.mfu),
    line.energy_kwh === null ? "" : energy(line.energy_kwh) + (energyEstimated(line) ? "~" : ""),
    line.cost === null
      ? t("without-price")
      : money(line.cost, line.currency) + (line.cost_source === "assumed" ? "*" : ""),
  ];
}

const energy = (kwh) => (kwh >= 1 ? `${plain(kwh)}\u202fkWh` : `${plain(kwh * 1000)}\u202fWh`);

function legend() {
  const lines = [...bill.lines, bill.total];
  const marks = [
    lines.some((line) => isEstimated(line) || energyEstimated(line)) && t("mark-estimated"),
    lines.some((line) => line.cost_source === "assumed") && t("mark-assumed"),
  ].filter(Boolean);
  const measured = marks.length ? t("measured", { marks: marks.join(", ") }) : t("all-measured");
  return h("p", { class: "note" }, `${measured} ${bill.price_date ? t("prices-of", { ofDate: ofDate(bill.price_date) }) : ""}`);
}

function plan() {
  if (!bill.plan) return null;
  const { predicted, actual } = bill.plan;
  const write = {
    cost: (value) => (bill.currency ? money(value, bill.currency) : plain(value)),
    seconds: duration,
    energy_kwh: energy,
    mfu: percent,
    device_hours: hours,
  };
  const known = (key) => Number.isFinite(actual[key]) && Number.isFinite(predicted[key]) && has(`quantity-${key}`);
  const rows = Object.keys(actual)
    .filter(known)
    .map((key) => {
      const figure = write[key] ?? count;
      const times = predicted[key] ? ratio(actual[key] / predicted[key]) : "";
      return [t(`quantity-${key}`), figure(predicted[key]), figure(actual[key]), times];
    });
  const head = ["", t("planned"), t("actual"), t("ratio")];
  const title = t("plan-actual") + state(bill.plan);
  return h("div", {}, h("h2", {}, title), grid({ head, rows, label: t("plan-actual") }));
}

/** How far an unfinished run came, to stand behind a title. */
function state({ state: how, done }) {
  if (!["running", "stopped"].includes(how) || done === null) return "";
  return t(`plan-${how}`, { share: percent(Math.floor(Math.min(done, 0.999) * 100) / 100, 0) });
}

function notes() {
  if (!bill.notes.length) return null;
  return h(
    "div",
    {},
    h("h2", {}, t("notes")),
    h(
      "ul",
      { class: "fine notes" },
      bill.notes.map(noteInWords).map(({ text, known }) => h("li", { lang: known ? null : "en" }, `${text}.`)),
    ),
  );
}
