// Charts as SVG and boxes: a spark of the last minutes, a bar of parts, lines over axes that fit the page's width.

import { h, svg } from "./dom.js";
import { percent } from "./i18n.js";

const TONES = 12; // colours of the style sheet, --c0 to --c11; further ones begin again
export const tone = (index) => `var(--c${index % TONES})`;

/** A line without axes: values from nought to `top` (else their own most), oldest first; null is left out. */
export function spark(values, { top, room, label, colour = tone(0) }) {
  const most = top || Math.max(...values) || 1;
  const x = (index) => ((room - values.length + index) / (room - 1)) * 100;
  const y = (value) => 30 - Math.min(1, value / most) * 28;
  const points = values
    .map((value, index) => (value === null ? null : `${x(index).toFixed(2)},${y(value).toFixed(2)}`))
    .filter(Boolean);
  const first = values.findIndex((value) => value !== null);
  const last = values.findLastIndex((value) => value !== null);
  const area = points.length > 1 && `${x(first).toFixed(2)},31 ${points.join(" ")} ${x(last).toFixed(2)},31`;
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 100 32", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { x1: 0, x2: 100, y1: 31, y2: 31, class: "axis" }),
    area && svg("polygon", { points: area, fill: colour, class: "area" }),
    points.length > 1 && svg("polyline", { points: points.join(" "), stroke: colour }),
  );
}

/** Parts side by side on one bar, `most` being the whole width: [{name, value, text}]. */
export function bar(parts, most, colourOf) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  const rest = Math.max(0, most - total);
  const grown = (element, value) => {
    element.style.flexGrow = String(value);
    return element;
  };
  return h(
    "div",
    { class: "bar", "aria-hidden": "true" }, // the numbers stand beside it
    parts.map(({ name, value, text }) => {
      const piece = grown(h("span", { title: `${name}: ${text}` }), value);
      piece.style.background = colourOf(name);
      return piece;
    }),
    rest > 0 && grown(h("span", { class: "rest" }), rest),
  );
}

/** Names beside their colours. */
export function legend(entries) {
  return h(
    "ul",
    { class: "legend" },
    entries.map(([name, colour, value]) => {
      const key = h("span", { class: "swatch" });
      key.style.background = colour;
      return h("li", {}, key, name, value && h("span", { class: "fine" }, ` ${value}`));
    }),
  );
}

/** How a whole is divided, [{name, value, colour}]: a bar, and beside each name its value and share. */
export function shares(parts, write) {
  const total = parts.reduce((sum, part) => sum + part.value, 0) || 1;
  const told = parts.map((part) => ({ ...part, text: `${write(part.value)}, ${percent(part.value / total)}` }));
  const colours = Object.fromEntries(parts.map(({ name, colour }) => [name, colour]));
  return [
    bar(told, total, (name) => colours[name]),
    legend(told.map(({ name, text, colour }) => [name, colour, text])),
  ];
}

const HIGH = 260;
const MARGIN = { left: 52, right: 12, top: 14, bottom: 26 };

/**
 * Lines with their bands, drawn again when the width changes. chart: {lines: [{name, points, band, dots}], log_x,
 * log_y, x_ticks, y_ticks: [[value, text]], marks: [[x, label]]}; `label` is its name for a screen reader.
 */
export function lineChart(chart, label) {
  const box = h("div", { class: "plot" });
  const draw = () => box.clientWidth && box.replaceChildren(drawLines(chart, box.clientWidth, label));
  new ResizeObserver(draw).observe(box);
  return box;
}

function drawLines(chart, width, label) {
  const along = (value, log) => (log ? Math.log10(Math.max(value, 1e-300)) : value);
  const ys = chart.lines.flatMap(({ points, band }) => [
    ...points.map((p) => p[1]),
    ...band.flatMap((b) => b.slice(1)),
  ]);
  const xs = [...chart.lines.flatMap(({ points }) => points.map((p) => p[0])), ...chart.marks.map((m) => m[0])];
  const scale = (values, ticks, log, from, to) => {
    const all = [...values, ...ticks.map((tick) => tick[0])].map((value) => along(value, log)).filter(Number.isFinite);
    const low = Math.min(...all);
    const span = Math.max(...all) - low || 1;
    return (value) => from + ((along(value, log) - low) / span) * (to - from);
  };
  const x = scale(xs, chart.x_ticks, chart.log_x, MARGIN.left, width - MARGIN.right);
  const y = scale(ys, chart.y_ticks, chart.log_y, HIGH - MARGIN.bottom, MARGIN.top);
  const at = (points) => points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(" ");
  const label_ = (px, py, anchor, text) => svg("text", { x: px, y: py, "text-anchor": anchor }, text);
  return svg(
    "svg",
    { width, height: HIGH, role: "img", "aria-label": label },
    chart.y_ticks.map(([value, text]) => [
      svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value), class: "axis" }),
      label_(MARGIN.left - 8, y(value) + 4, "end", text),
    ]),
    spaced(chart.x_ticks, x).map(([value, text]) => label_(x(value), HIGH - 8, "middle", text)),
    chart.marks.map(([value, text]) => [
      svg("line", { x1: x(value), x2: x(value), y1: MARGIN.top, y2: HIGH - MARGIN.bottom, class: "mark" }),
      label_(x(value) + 4, MARGIN.top, "start", text),
    ]),
    chart.lines.map(({ points, band, dots }, index) => [
      band.length > 0 &&
        svg("polygon", {
          points: `${at(band.map(([px, , high]) => [px, high]))} ${at(band.toReversed().map(([px, low]) => [px, low]))}`,
          fill: tone(index),
          class: "band",
        }),
      dots
        ? points.map(([px, py]) => svg("circle", { cx: x(px), cy: y(py), r: 3.5, fill: tone(index) }))
        : svg("polyline", { points: at(points), stroke: tone(index) }),
    ]),
  );
}

/** The ticks that leave each other room on a narrow page. */
function spaced(ticks, x) {
  let last = -Infinity;
  return ticks.filter(([value, text]) => {
    const half = text.length * 4;
    if (x(value) - half < last + 6) return false;
    last = x(value) + half;
    return true;
  });
}
