// An element that shows a text which grows, however long: what is done is kept, only the piece that grows is drawn
// again, and a frame draws for a bounded time and leaves the rest to the next ones.

import { h } from "./dom.js";
import { draw, source } from "./markdown.js";
import { START, pieces } from "./pieces.js";

// Drawn in one frame. Laying it out takes longer: 5 µs for a character that no font at hand has (CJK without one).
const FRAME = { ms: 12, characters: 3_000, elements: 1000 };
const PAGE = { nodes: 40, characters: 8_000 }; // blocks laid out together; the browser skips pages out of sight
const ELEMENTS = 30_000; // of one text; what follows is shown as it was written

const unfinished = new Set();
const waiting = []; // calls when everything is drawn

/** Whether some text is still being drawn. */
export const isDrawing = () => unfinished.size > 0;

/** Once everything is drawn. */
export const drawn = () => new Promise((done) => (isDrawing() ? waiting.push(done) : done()));

const plainly = (lines, at) => ["plain", lines.length - at, false];

/** `read` is "markdown" or "plain". The element's children are pages of blocks. */
export class Growing {
  constructor(element, read = "markdown") {
    this.element = element;
    this.read = read;
    this.begin();
  }

  begin() {
    this.ofLine = this.read === "plain" ? plainly : undefined;
    this.text = "";
    this.from = START; // everything before is done
    this.done = 0; // elements
    this.open = []; // [{source, node}] of pieces that may still change
    this.page = null;
    this.pre = null; // of the last block of code
    this.element.replaceChildren();
  }

  /** Shows the text: what it has more than before is drawn, now or within the next frames. */
  show(text) {
    if (text === this.text) return;
    if (!text.startsWith(this.text)) this.begin();
    this.text = text;
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    unfinished.delete(this);
    const frame = { end: performance.now() + FRAME.ms, characters: 0, elements: 0 };
    let index = 0;
    let same = true; // what was open before is as it was, up to here
    for (const piece of pieces(this.text, this.from, this.ofLine)) {
      if (piece.kind !== "blank") {
        same = this.place(piece, index, same);
        index += 1;
      }
      if (!piece.final) continue;
      this.commit(piece, index, frame);
      index = 0;
      if (performance.now() > frame.end || frame.characters > FRAME.characters || frame.elements > FRAME.elements) {
        unfinished.add(this);
        this.frame = requestAnimationFrame(() => this.draw());
        return;
      }
    }
    for (const { node } of this.open.splice(index)) node.remove();
    if (!isDrawing()) waiting.splice(0).forEach((done) => done());
  }

  /** A piece will not change any more. */
  commit(piece, count, frame) {
    const made = elements(this.open.splice(0, count));
    const characters = piece.lines.reduce((sum, line) => sum + line.length, 0);
    frame.characters += characters;
    frame.elements += made;
    this.done += made;
    this.from = piece.next;
    if (this.page) this.page.characters += characters;
    if (this.done > ELEMENTS && this.ofLine !== plainly) {
      this.ofLine = plainly;
      this.from = { ...START, at: piece.next.at };
      frame.end = 0; // the rest is read anew
    }
  }

  /** Draws an open piece unless it is there already; whether it was. */
  place(piece, index, same) {
    const text = [piece.kind, piece.closed, piece.goesOn, ...piece.lines].join("\n");
    const there = same ? this.open[index] : null;
    if (there?.source === text) return true;
    const pre = piece.continued && piece.kind === "code" ? this.pre : null; // the block of code that it goes on with
    const node = pre ? h("code", {}, source(piece)) : piece.kind === "plain" ? asWritten(piece) : draw(piece);
    if (piece.goesOn) node.classList.add("cut");
    const [before, ...after] = this.open.splice(index);
    for (const one of after) one.node.remove();
    if (before && (before.node.tagName === "CODE") === (pre !== null)) before.node.replaceWith(node);
    else {
      before?.node.remove();
      (pre ?? this.room()).append(node);
    }
    if (piece.kind === "code" && !pre) this.pre = node.querySelector("pre");
    this.open[index] = { source: text, node };
    return false;
  }

  /** The page for one more block. */
  room() {
    if (!this.page || this.page.nodes >= PAGE.nodes || this.page.characters >= PAGE.characters) {
      this.page?.element.classList.add("full");
      this.page = { element: h("div", { class: "page" }), nodes: 0, characters: 0 };
      this.element.append(this.page.element);
    }
    this.page.nodes += 1;
    return this.page.element;
  }
}

const elements = (open) => open.reduce((sum, { node }) => sum + 1 + node.getElementsByTagName("*").length, 0);

const asWritten = ({ lines, goesOn, newline }) =>
  h("p", { class: "plain" }, lines.join("\n") + (goesOn && newline ? "\n" : ""));
