// A table of texts: the first column names the rows, the others are figures. On a narrow page a row is its name and,
// below, its figures, each after the name of its column; roles keep it a table for a screen reader.

import { h } from "./dom.js";

/** A figure of a list of them: its label, the figure, and small print if there is any. */
export const fact = (label, figure, small) => [
  h("dt", {}, label),
  h("dd", { class: "figure" }, figure),
  small && h("dd", { class: "fine" }, small),
];

/** head: names of the columns; rows: lists of texts; total: the last row sums the others; label: of its region. */
export function grid({ head, rows, label, total = false }) {
  const row = ([name, ...cells], index) =>
    h(
      "tr",
      { class: total && index === rows.length - 1 ? "sum" : null, role: "row" },
      h("th", { scope: "row", role: "rowheader" }, name),
      cells.map((cell, column) => h("td", { role: "cell", "data-head": head[column + 1], class: cell ? null : "bare" }, cell)),
    );
  const heads = head.map((cell) => h("th", { scope: "col", role: "columnheader" }, cell));
  const table = h(
    "table",
    { class: head.length > 2 ? "bill grid" : "bill", role: "table", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    h("tbody", { role: "rowgroup" }, rows.map(row)),
  );
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
}
