// Markdown within a line: code, strong, emphasis, strikethrough, links. Everything else stays as it was written.

import { h } from "./dom.js";

const DEEPEST = 12; // emphasis in emphasis; deeper nesting is shown as text
const MARKS = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "del"],
  ["*", "em"],
  ["_", "em"],
];

/** Text -> nodes. Nothing is ever parsed as HTML, links go to http, https and mailto alone, images become links. */
export function inline(text, depth = 0) {
  const nodes = [];
  const nowhere = new Set(); // marks that do not close any more: each is looked for once, so long lines stay quick
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(document.createTextNode(plain));
    plain = "";
  };
  const put = (node, length) => {
    flush();
    nodes.push(node);
    at += length;
  };
  let at = 0;
  while (at < text.length) {
    const found = (depth < DEEPEST && (code(text, at, nowhere) ?? link(text, at, depth) ?? marked(text, at, depth, nowhere))) || null;
    if (found) {
      put(found.node, found.length);
    } else if (text[at] === "\\" && /[\\`*_{}[\]()#+\-.!~|>]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else if (text[at] === "\n") {
      put(h("br"), 1);
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

function code(text, at, nowhere) {
  if (text[at] !== "`") return null;
  const ticks = /^`+/.exec(text.slice(at, at + 40))[0];
  if (nowhere.has(ticks)) return null;
  const end = text.indexOf(ticks, at + ticks.length);
  if (end < 0) {
    nowhere.add(ticks);
    return null;
  }
  const inside = text.slice(at + ticks.length, end);
  const shown = inside.startsWith(" ") && inside.endsWith(" ") && inside.trim() ? inside.slice(1, -1) : inside;
  return { node: h("code", {}, shown), length: end + ticks.length - at };
}

function marked(text, at, depth, nowhere) {
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark, at) || nowhere.has(mark)) continue;
    const from = at + mark.length;
    if (/\s/.test(text[from] ?? " ")) continue;
    if (mark[0] === "_" && /\w/.test(text[at - 1] ?? " ")) continue; // snake_case is a name, not emphasis
    const end = closing(text, mark, from);
    if (end < 0) {
      nowhere.add(mark);
      continue;
    }
    return { node: h(tag, {}, inline(text.slice(from, end), depth + 1)), length: end + mark.length - at };
  }
  return null;
}

/** Where the mark closes: after a letter, not as part of a longer mark, not inside a word for underscores. */
function closing(text, mark, from) {
  for (let end = text.indexOf(mark, from); end >= 0; end = text.indexOf(mark, end + 1)) {
    const tooLong = mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark);
    const inWord = mark[0] === "_" && /\w/.test(text[end + mark.length] ?? " ");
    if (end > from && !/\s/.test(text[end - 1]) && !tooLong && !inWord && text[end - 1] !== "\\") return end;
  }
  return -1;
}

const WRITTEN = /^!?\[((?:[^[\]\\]|\\.){0,400})\]\(\s*<?([^\s()<>]{1,2000}(?:\([^\s()<>]{0,200}\)[^\s()<>]{0,200})?)>?(?:\s+"[^"]{0,300}")?\s*\)/;
const BARE = /^<?(https?:\/\/[^\s<>"'`]{1,2000})>?/;

function link(text, at, depth) {
  if (text[at] === "[" || (text[at] === "!" && text[at + 1] === "[")) {
    const found = WRITTEN.exec(text.slice(at, at + 3000));
    const href = found && safe(found[2]);
    return href ? { node: anchor(href, inline(found[1] || found[2], depth + 1)), length: found[0].length } : null;
  }
  if ((text[at] !== "h" && text[at] !== "<") || /\w/.test(text[at - 1] ?? " ")) return null;
  const found = BARE.exec(text.slice(at, at + 2100));
  if (!found) return null;
  const address = found[0].startsWith("<") ? found[1] : found[1].replace(/[.,;:!?)\]*_]+$/, "");
  const href = safe(address);
  return href ? { node: anchor(href, [address]), length: found[0].startsWith("<") ? found[0].length : address.length } : null;
}

function safe(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null; // relative: a model's answer has no business with this server's pages
  }
}

const anchor = (href, children) => h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, children);
