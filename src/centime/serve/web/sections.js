// The sections of a plan, as the server words them: figures, tables, notes, bars of parts, lines, lanes over time.

import { bar, legend, lineChart, timeChart, tone } from "./charts.js";
import { h } from "./dom.js";
import { grid } from "./grid.js";
import { t } from "./i18n.js";

export function drawSection(section) {
  return { figures, table, notes, stacked, lines, timeline }[section.kind](section);
}

const titled = (title, ...children) => h("section", { class: "part" }, title && h("h2", {}, title), children);
const noted = (note) => note && h("p", { class: "note" }, note);

function figures({ title, items }) {
  const one = ({ label, figure, small }) =>
    h("div", {}, h("dt", {}, label), h("dd", { class: "figure" }, figure), small && h("dd", { class: "fine" }, small));
  return titled(title, h("dl", { class: "facts" }, items.map(one)));
}

function notes({ title, lines: sentences }) {
  return titled(
    title,
    h(
      "ul",
      { class: "fine notes" },
      sentences.map((line) => h("li", {}, line)),
    ),
  );
}

function table(section) {
  return titled(section.title, grid({ ...section, label: section.title }), noted(section.note));
}

const numbersOf = (section) =>
  h("details", {}, h("summary", {}, t("numbers")), grid({ ...section.table, label: section.title }));

function stacked(section) {
  const names = [...new Set(section.bars.flatMap(({ parts }) => parts.map((part) => part.name)))];
  const colourOf = (name) => tone(names.indexOf(name));
  const total = (parts) => parts.reduce((sum, part) => sum + part.value, 0);
  const most = Math.max(...section.bars.map(({ parts }) => total(parts)));
  const drawn = section.bars.map(({ label, total: text, parts }) =>
    h(
      "div",
      { class: "stack" },
      h("p", {}, h("span", {}, label), h("span", {}, `${text} ${section.unit}`)),
      bar(
        parts.map((part) => ({ ...part, text: `${part.text} ${section.unit}` })),
        most,
        colourOf,
      ),
    ),
  );
  const single = section.bars.length === 1;
  const valueOf = (name) => (single ? section.bars[0].parts.find((part) => part.name === name).text : null);
  const key = legend(names.map((name) => [name, colourOf(name), valueOf(name)]));
  return titled(section.title, drawn, key, noted(section.note), !single && numbersOf(section));
}

function lines(section) {
  const label = `${section.title}: ${section.unit}, ${section.x_title}`;
  return titled(
    section.title,
    h("p", { class: "fine" }, section.unit),
    lineChart(section, label),
    h("p", { class: "fine x-title" }, section.x_title),
    section.lines.length > 1 && legend(section.lines.map(({ name }, index) => [name, tone(index), null])),
    noted(section.note),
    numbersOf(section),
  );
}

function timeline(section) {
  return titled(
    section.title,
    timeChart(section, section.title),
    h("p", { class: "fine x-title" }, section.unit),
    legend(section.kinds.map((name, index) => [name, tone(index), null])),
    noted(section.note),
    numbersOf(section),
  );
}
