// Where a block of markdown begins and how many lines it takes: no elements, no text within a line.
// No expression here has two unbounded repeats that take the same characters: a line of blanks costs its length.

const FENCE = /^( {0,3})(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?=\s|$)/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?= |$)/;
const QUOTE = /^ {0,3}> ?/;
const SIDE = /^:?-+:?$/;

/** Lines -> blocks of {kind, lines, closed}: code that may still grow at the end of a stream is not closed. */
export function blocks(lines) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    const [kind, length, closed] = begins(lines, at);
    if (kind !== "blank") found.push({ kind, lines: lines.slice(at, at + length), closed });
    at += length;
  }
  return found;
}

/** What begins at a line, how many lines it takes, and whether it has ended; it depends on no line before. */
export function begins(lines, at) {
  const line = lines[at];
  if (!line.trim()) return ["blank", run(lines, at, (next) => !next.trim()), true];
  const fence = fenceOf(line);
  if (fence) return fenced(lines, at, fence.mark);
  if (headingOf(line)) return ["heading", 1, true];
  if (isRule(line)) return ["rule", 1, true];
  if (QUOTE.test(line)) return ["quote", run(lines, at, (next) => QUOTE.test(next)), true];
  if ((itemOf(line)?.indent ?? 4) < 4) return ["list", list(lines, at), true];
  if (isTable(lines, at)) return ["table", 2 + run(lines, at + 2, (next) => next.includes("|")), true];
  return ["paragraph", 1 + run(lines, at + 1, (next) => next.trim() && !interrupts(next)), true];
}

/** {indent, mark, language} of a line that opens code, else null. */
export function fenceOf(line) {
  const found = FENCE.exec(line);
  if (!found) return null;
  const about = line.slice(found[0].length);
  if (about.includes("`")) return null;
  return { indent: found[1].length, mark: found[2], language: about.trim().split(/\s/)[0] };
}

/** {level, text} of a heading, else null; marks at its end belong to neither. */
export function headingOf(line) {
  const found = HEADING.exec(line);
  if (!found) return null;
  const text = line.slice(found[0].length).trim();
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  const bare = end === 0 || text[end - 1].trim() === "" ? text.slice(0, end).trimEnd() : text;
  return text ? { level: found[1].length, text: bare } : null;
}

/** {indent, mark, text, width} of a line that begins an item of a list, else null; width: of what stands before. */
export function itemOf(line) {
  const found = ITEM.exec(line);
  if (!found) return null;
  const text = line.slice(found[0].length);
  return { indent: found[1].length, mark: found[2], text: text.trimStart(), width: found[0].length + 1 };
}

export const isOrdered = (item) => /\d/.test(item.mark);
export const unquoted = (line) => line.replace(QUOTE, "");

/** Three or more of the same mark, with any blanks between. */
function isRule(line) {
  const bare = line.trim();
  const mark = bare[0];
  if (!"-*_".includes(mark) || line.search(/\S/) > 3) return false;
  let marks = 0;
  for (const sign of bare) {
    if (sign === mark) marks += 1;
    else if (sign.trim()) return false;
  }
  return marks >= 3;
}

/** The cells of a row; a bar after a backslash is part of its cell. */
export function cells(line) {
  const bare = line.trim();
  const inside = bare.startsWith("|") ? bare.slice(1) : bare;
  const parts = inside.split(/(?<!\\)\|/);
  if (parts.length > 1 && parts.at(-1) === "") parts.pop();
  return parts.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function isTable(lines, at) {
  const [head, divider] = [lines[at], lines[at + 1] ?? ""];
  if (!head.includes("|") || !divider.includes("-")) return false;
  const sides = cells(divider);
  return sides.every((side) => SIDE.test(side)) && sides.length === cells(head).length;
}

const interrupts = (line) =>
  fenceOf(line) !== null ||
  headingOf(line) !== null ||
  isRule(line) ||
  QUOTE.test(line) ||
  /^ {0,3}(?:[-*+]|1[.)]) +\S/.test(line);

function run(lines, at, belongs) {
  let end = at;
  while (end < lines.length && belongs(lines[end])) end += 1;
  return end - at;
}

function fenced(lines, at, mark) {
  const inside = run(lines, at + 1, (line) => !closes(line, mark));
  return at + 1 + inside < lines.length ? ["code", inside + 2, true] : ["code", inside + 1, false];
}

const closes = (line, mark) => {
  const bare = line.trim();
  return bare.length >= mark.length && bare === mark[0].repeat(bare.length) && !/^ {4}/.test(line);
};

/** A list goes on over indented lines and over one empty line, when what follows is indented or an item. */
function list(lines, at) {
  const ordered = isOrdered(itemOf(lines[at]));
  const inside = (line) => {
    const item = itemOf(line);
    return /^ {2,}\S/.test(line) || (item !== null && !isRule(line) && isOrdered(item) === ordered);
  };
  let end = at + 1;
  while (end < lines.length) {
    const line = lines[end];
    if (!line.trim()) {
      if (!inside(lines[end + 1] ?? "")) break;
    } else if (!inside(line) && (interrupts(line) || !lines[end - 1].trim())) {
      break;
    }
    end += 1;
  }
  return end - at;
}
