// The sections of a plan, as the server words and draws them: figures, tables, notes, charts.

import { drawn, h } from "./dom.js";
import { fact, grid } from "./grid.js";
import { readable } from "./hover.js";
import { t } from "./i18n.js";

export function drawSection(section) {
  return { figures, table, notes, chart }[section.kind](section);
}

const titled = (title, ...children) => h("section", { class: "part" }, title && h("h2", {}, title), children);
const noted = (note) => note && h("p", { class: "note" }, note);

function figures({ title, items }) {
  const one = ({ label, figure, small }) => h("div", {}, fact(label, figure, small));
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

function chart(section) {
  const picture = drawn(section.picture);
  picture.querySelectorAll(".hover").forEach((group) => readable(group.ownerSVGElement));
  return titled(
    section.title,
    picture,
    noted(section.note),
    h("details", {}, h("summary", {}, t("numbers")), grid({ ...section.table, label: section.title })),
  );
}
