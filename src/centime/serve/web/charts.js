// What changes while it is looked at: a spark of the last minutes, and how a whole is divided. Their numbers come once a
// second, and are drawn here; every other chart comes drawn from the server (centime/charts), in the same colours.

import { h, svg } from "./dom.js";
import { percent, roundTime, t } from "./i18n.js";

export const tone = (index) => `var(--c${index})`; // of charts.css

/**
 * A line over the last minutes with its scale. points: [{at, value}], seconds and numbers, oldest first, a value of null
 * is left out; `span`: seconds shown, up to `to`; `top`: the value at the upper edge, else a round number above all;
 * `format` writes a value, `name` is what a screen reader calls it.
 */
export function spark(points, { span, to, format, name, top = 0, colour = tone(0) }) {
  const known = points.filter(({ at, value }) => value !== null && at >= to - span);
  const values = known.map(({ value }) => value);
  const [least, most] = known.length ? [Math.min(...values), Math.max(...values)] : [0, 0];
  const edge = top || roundAbove(most);
  const x = (at) => (((at - to + span) / span) * 100).toFixed(2);
  const y = (value) => (30 - Math.min(1, value / edge) * 28).toFixed(2);
  const line = known.map(({ at, value }) => `${x(at)},${y(value)}`).join(" ");
  const area = known.length > 1 && `${x(known[0].at)},31 ${line} ${x(known.at(-1).at)},31`;
  const time = roundTime(span);
  const range = known.length ? t("least-most", { least: format(least), most: format(most) }) : t("nothing-yet");
  return h(
    "div",
    { class: "sparked" },
    h("p", { class: "fine scale", "aria-hidden": "true" }, h("span", {}, format(edge)), h("span", {}, range)),
    svg(
      "svg",
      {
        class: "spark",
        viewBox: "0 0 100 32",
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": t("chart-of", { name, time, range }),
      },
      svg("line", { x1: 0, x2: 100, y1: 2, y2: 2, class: "axis" }),
      svg("line", { x1: 0, x2: 100, y1: 31, y2: 31, class: "axis" }),
      area && svg("polygon", { points: area, fill: colour, class: "area" }),
      known.length > 1 && svg("polyline", { points: line, stroke: colour }),
    ),
    h(
      "p",
      { class: "fine scale", "aria-hidden": "true" },
      h("span", {}, t("ago", { time })),
      h("span", {}, t("now")),
    ),
  );
}

/** 1, 2 or 5 times a power of ten, at or above a value. */
function roundAbove(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((times) => times * power >= value * 0.9999) * power;
}

/** How a whole is divided, [{name, value, colour}]: a bar, and beside each name its value and share. */
export function shares(parts, write) {
  const total = parts.reduce((sum, part) => sum + part.value, 0) || 1;
  const coloured = (tag, { colour }, attributes) => {
    const element = h(tag, attributes);
    element.style.background = colour; // not as an attribute: the page's policy forbids styles in those
    return element;
  };
  const pieces = parts.map((part) => {
    const piece = coloured("span", part, { title: part.name });
    piece.style.flexGrow = String(part.value);
    return piece;
  });
  const names = parts.map((part) =>
    h(
      "li",
      {},
      coloured("span", part, { class: "key" }),
      part.name,
      h("span", { class: "fine" }, ` ${write(part.value)}, ${percent(part.value / total)}`),
    ),
  );
  return [
    h("div", { class: "shares", "aria-hidden": "true" }, pieces), // the numbers stand beside it
    h("ul", { class: "legend" }, names),
  ];
}
