// A text that grows, cut into pieces of a bounded size, so that drawing one more token never costs the whole text.
// Where a piece ends depends on the text alone, not on how it came: a text that streamed is cut as one that was there.

import { begins, isOrdered, itemOf } from "./blocks.js";

const LINE = 3000; // characters; a longer line is broken, as if a block began there
const PIECE = 4000; // characters of a piece; a longer block goes on in the next: code as code, a table below its head
const LINES = 250; // of a piece
// Looked at in one go: more than a piece and the lines that decide whether it has ended.
const WINDOW = 4 * PIECE;
const WINDOW_LINES = 3 * LINES;

/** Where a text begins. opening: lines that the next piece is to be read below, those that opened its block. */
export const START = { at: 0, opening: [] };

/**
 * The pieces of a text from a place on: {kind, lines, closed, goesOn, continued, final, next}. goesOn: its block does,
 * and `newline` says whether after the end of a line; continued: it belongs to the block before. A final piece
 * stays as it is whatever follows, and the text after it is to be read from `next`. Empty lines are pieces too.
 * ofLine(lines, at): what begins at a line, as blocks.begins says it.
 */
export function* pieces(text, from = START, ofLine = begins) {
  let { at, opening } = from;
  while (at < text.length) {
    const seen = entries(text, at);
    const lines = [...opening.map(spaced), ...seen.lines.map(spaced)];
    const raw = [...opening, ...seen.lines];
    const known = lines.length - 1; // the last may still grow
    const whole = seen.end >= text.length;
    let line = 0;
    while (line < lines.length) {
      const found = piece(lines, raw, line, ofLine, (index) => seen.broken.has(index - opening.length));
      const final = found.end + 1 < known; // what ends a block is at most two lines: one that is empty, and the next
      if (!final && !whole) break;
      at += seen.length(line - opening.length, found.end - opening.length);
      const next = { at, opening: found.opening };
      yield { ...found, continued: opening.length > 0, final, next };
      line = found.end;
      if (opening.length || found.opening.length) {
        opening = found.opening; // other lines before the rest: look at it anew
        break;
      }
    }
  }
}

/** A window: its lines, which of them are broken rather than ended, where it ends, how many characters lines take. */
function entries(text, at) {
  const lines = [];
  const broken = new Set();
  const starts = [];
  let start = at;
  for (const whole of text.slice(at, at + WINDOW).split("\n", WINDOW_LINES)) {
    let rest = whole;
    while (rest.length > LINE) {
      const end = seam(rest);
      broken.add(lines.length);
      starts.push(start);
      lines.push(rest.slice(0, end));
      start += end;
      rest = rest.slice(end);
    }
    starts.push(start);
    lines.push(rest.endsWith("\r") ? rest.slice(0, -1) : rest);
    start += rest.length + 1;
  }
  const end = start - 1;
  starts.push(end);
  return { lines, broken, end, length: (first, end) => starts[end] - starts[Math.max(0, first)] };
}

/** Where a long line is broken: after a blank near the bound, else never between the halves of a sign. */
function seam(line) {
  const blank = line.lastIndexOf(" ", LINE - 1);
  if (blank > LINE / 2) return blank + 1;
  return /[\udc00-\udfff]/.test(line[LINE]) ? LINE - 1 : LINE;
}

const VERBATIM = ["code", "plain"];

/** Tabs that indent count as four blanks. */
const spaced = (line) => line.replace(/^[ \t]+/, (blanks) => blanks.replaceAll("\t", "    "));

/** The piece that begins at a line: {kind, lines, closed, goesOn, newline, end, opening}. */
function piece(lines, raw, at, ofLine, isBroken) {
  const [kind, length, closed] = ofLine(lines, at);
  const head = { code: 1, table: 2 }[kind] ?? 0; // the lines that open it
  const most = at + length;
  let end = at;
  let size = 0;
  while (end < most && end - at < LINES + head) {
    size += lines[end].length + 1;
    if (size > PIECE && end > at + head) break;
    end += 1;
    if (isBroken(end - 1)) break;
  }
  if (closed && kind === "code" && end === most - 1 && !isBroken(end - 1)) end = most; // the fence alone needs no piece
  const goesOn = end < most || isBroken(end - 1);
  if (goesOn && kind === "list") end = beforeItem(lines, at, end);
  const whole = end - at >= head && !(kind === "table" && (isBroken(at) || isBroken(at + 1))); // what opens it
  return {
    kind: whole ? kind : "paragraph",
    lines: (VERBATIM.includes(kind) ? raw : lines).slice(at, end),
    closed: closed && end === most,
    goesOn,
    newline: !isBroken(end - 1),
    end,
    opening: whole && goesOn && end < most ? raw.slice(at, at + head) : [],
  };
}

/** A list is cut before one of its items where there is one. */
function beforeItem(lines, at, end) {
  const first = itemOf(lines[at]);
  for (let line = end; line > at + 1; line -= 1) {
    const item = itemOf(lines[line] ?? "");
    if (item && item.indent <= first.indent + 1 && isOrdered(item) === isOrdered(first)) return line;
  }
  return end;
}
