// A table of texts that scrolls sideways where it must: the first column names the rows, the others are figures.

import { h } from "./dom.js";

/** head: names of the columns; rows: lists of texts; total: the last row sums the others; label: of its region. */
export function grid({ head, rows, label, total = false }) {
  const row = ([name, ...cells], index) =>
    h(
      "tr",
      { class: total && index === rows.length - 1 ? "sum" : null },
      h("th", { scope: "row" }, name),
      cells.map((cell) => h("td", {}, cell)),
    );
  const heads = head.map((cell) => h("th", { scope: "col" }, cell));
  const table = h("table", { class: "bill" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows.map(row)));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
}
