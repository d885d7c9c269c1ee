// Charts as SVG and boxes: a spark of the last minutes, a bar of parts, lines over axes that fit the page's width.

import { h, svg } from "./dom.js";
import { percent, roundTime, t } from "./i18n.js";

const TONES = 12; // colours of the style sheet, --c0 to --c11; further ones begin again
export const tone = (index) => `var(--c${index % TONES})`;

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

const LANE = { high: 18, bar: 15 };

/**
 * What each lane does when, drawn again when the width changes. chart: {lanes: [{label, spans: [[start, end, kind]]}],
 * kinds: names, x_ticks: [[value, text]]}; `label` is its name for a screen reader.
 */
export function timeChart(chart, label) {
  const box = h("div", { class: "plot lanes" });
  const draw = () => box.clientWidth && box.replaceChildren(drawLanes(chart, box.clientWidth, label));
  new ResizeObserver(draw).observe(box);
  return box;
}

function drawLanes({ lanes, kinds, x_ticks: ticks }, width, label) {
  const left = 7 * Math.max(...lanes.map((lane) => lane.label.length)) + 8; // the labels' room
  const end = Math.max(...lanes.flatMap(({ spans }) => spans.map((span) => span[1])), ticks.at(-1)?.[0] ?? 0) || 1;
  const x = (time) => left + (time / end) * (width - left - MARGIN.right);
  const low = lanes.length * LANE.high;
  return svg(
    "svg",
    { width, height: low + MARGIN.bottom, role: "img", "aria-label": `${label}: ${kinds.join(", ")}` },
    spaced(ticks, x).map(([value, text]) => [
      svg("line", { x1: x(value), x2: x(value), y1: 0, y2: low, class: "axis" }),
      svg("text", { x: x(value), y: low + 18, "text-anchor": "middle" }, text),
    ]),
    lanes.map((lane, row) => [
      svg("text", { x: left - 8, y: row * LANE.high + 13, "text-anchor": "end" }, lane.label),
      kinds.map((_, kind) =>
        svg("path", {
          d: lane.spans
            .filter((span) => span[2] === kind)
            .map((span) => `M${x(span[0]).toFixed(2)} ${row * LANE.high + 1}H${x(span[1]).toFixed(2)}v${LANE.bar}H${x(span[0]).toFixed(2)}z`)
            .join(""),
          fill: tone(kind),
        }),
      ),
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
