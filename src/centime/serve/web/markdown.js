// Markdown as models write it, drawn while it arrives: only the block that grows is drawn again.

import { h } from "./dom.js";
import { codeBlock } from "./code.js";
import { t } from "./i18n.js";
import { inline } from "./inline.js";

const DEEPEST = 8; // lists in quotes in lists; deeper nesting is shown as text
const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +|$)(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const DIVIDER = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** Shows `text` in `element`, keeping the nodes of every block that did not change since the last call. */
export function show(element, text) {
  const found = blocks(text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n"));
  found.forEach((block, index) => {
    const there = element.children[index];
    const source = `${block.kind}\n${block.closed}\n${block.lines.join("\n")}`;
    if (there?.source === source) return;
    const node = draw(block, 0);
    node.source = source;
    if (there) there.replaceWith(node);
    else element.append(node);
  });
  while (element.children.length > found.length) element.lastChild.remove();
}

/** The nodes of a text, all of them new. */
function nodes(lines, depth) {
  return depth < DEEPEST ? blocks(lines).map((block) => draw(block, depth)) : inline(lines.join("\n"));
}

/** Lines -> blocks of {kind, lines, closed}: a block that may still grow at the end of a stream is not closed. */
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

/** What begins at a line, how many lines it takes, and whether it has ended. */
function begins(lines, at) {
  const line = lines[at];
  if (!line.trim()) return ["blank", 1, true];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence[2]);
  if (HEADING.test(line)) return ["heading", 1, true];
  if (RULE.test(line)) return ["rule", 1, true];
  if (QUOTE.test(line)) return ["quote", run(lines, at, (next) => QUOTE.test(next)), true];
  if (ITEM.test(line) && ITEM.exec(line)[1].length < 4) return ["list", list(lines, at), true];
  if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "") && lines[at + 1].includes("-") && width(line) === width(lines[at + 1])) {
    return ["table", 2 + run(lines, at + 2, (next) => next.includes("|")), true];
  }
  return ["paragraph", Math.max(1, run(lines, at, (next, index) => next.trim() && (index === at || !interrupts(next)))), true];
}

const interrupts = (line) =>
  FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || /^ {0,3}(?:[-*+]|1[.)]) +\S/.test(line);

function run(lines, at, belongs) {
  let end = at;
  while (end < lines.length && belongs(lines[end], end)) end += 1;
  return end - at;
}

function fenced(lines, at, mark) {
  const end = lines.findIndex((line, index) => index > at && closes(line, mark));
  return end < 0 ? ["code", lines.length - at, false] : ["code", end - at + 1, true];
}

const closes = (line, mark) => {
  const bare = line.trim();
  return bare.length >= mark.length && bare === mark[0].repeat(bare.length) && !/^ {4}/.test(line);
};

/** A list goes on over indented lines and over one empty line, when what follows is indented or an item. */
function list(lines, at) {
  const ordered = /\d/.test(ITEM.exec(lines[at])[2]);
  const inside = (line) => {
    const item = ITEM.exec(line);
    return /^ {2,}\S/.test(line) || (item !== null && !RULE.test(line) && /\d/.test(item[2]) === ordered);
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

function draw(block, depth) {
  const { kind, lines } = block;
  if (kind === "code") return drawCode(block);
  if (kind === "heading") {
    const [, marks, text] = HEADING.exec(lines[0]);
    return h(`h${Math.min(6, marks.length + 2)}`, {}, inline(text)); // the page's own headings are h1 and h2
  }
  if (kind === "rule") return h("hr");
  if (kind === "quote") return h("blockquote", {}, nodes(lines.map((line) => line.replace(QUOTE, "")), depth + 1));
  if (kind === "list") return drawList(lines, depth);
  if (kind === "table") return drawTable(lines);
  return h("p", {}, inline(lines.map((line) => line.trim()).join("\n")));
}

function drawCode({ lines, closed }) {
  const [, indent, , language] = FENCE.exec(lines[0]);
  const inside = lines.slice(1, closed ? -1 : undefined).map((line) => line.replace(new RegExp(`^ {0,${indent.length}}`), ""));
  return codeBlock(inside.join("\n"), language);
}

function drawList(lines, depth) {
  const [, , first] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(first);
  const margin = /^ */.exec(lines[0])[0].length;
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= margin + 1) items.push({ text: [item[3]], indent: item[1].length + item[2].length + 1 });
    else items.at(-1).text.push(line.slice(Math.min(/^ */.exec(line)[0].length, items.at(-1).indent)));
  }
  const tight = items.every(({ text }) => !text.slice(0, -1).includes(""));
  const start = ordered && Number.parseInt(first, 10) !== 1 ? Number.parseInt(first, 10) : null;
  return h(ordered ? "ol" : "ul", { start }, items.map(({ text }) => h("li", {}, itemNodes(text, tight, depth))));
}

/** An item's text without a paragraph around it where the list has no empty lines; "[x]" becomes a box. */
function itemNodes(text, tight, depth) {
  const box = /^\[([ xX])\] /.exec(text[0]);
  const inside = box ? [text[0].slice(4), ...text.slice(1)] : text;
  const found = nodes(inside, depth + 1);
  const flat = tight && found[0]?.tagName === "P" ? [...found[0].childNodes, ...found.slice(1)] : found;
  return box ? [box[1] === " " ? "☐ " : "☑ ", ...flat] : flat;
}

const cells = (line) =>
  line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));

const width = (line) => cells(line).length;

function drawTable([head, divider, ...rows]) {
  const sides = cells(divider).map((cell) => (/^:-+:$/.test(cell) ? "centre" : /-:$/.test(cell) ? "right" : ""));
  const cell = (tag) => (text, column) => h(tag, { class: sides[column] || null, scope: tag === "th" ? "col" : null }, inline(text));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": t("table-label") },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, cells(head).map(cell("th")))),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row).slice(0, sides.length).map(cell("td"))))),
    ),
  );
}
