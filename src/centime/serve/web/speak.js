// A stream for people who listen: whole sentences into a polite live region, not every token as it comes.

import { byId } from "./dom.js";

const MOST = 280; // characters held back while no sentence ends
const QUEUED = 1500; // characters that wait to be said: nobody listens to a text that comes faster, its end is said
let waiting = "";
let timer = 0;

/** More of the answer; what makes whole sentences is said. */
export function hear(text) {
  waiting += text;
  const end = Math.max(...[". ", "! ", "? ", "\n", "。"].map((mark) => waiting.lastIndexOf(mark) + mark.length - 1));
  if (end > 0 || waiting.length > MOST) {
    const cut = end > 0 ? end + 1 : waiting.length;
    later(waiting.slice(0, cut));
    waiting = waiting.slice(cut);
  }
}

/** Says what is left, and then `closing`. */
export function finish(closing) {
  later(`${waiting} ${closing}`);
  waiting = "";
}

let queue = "";

/** A region that changes faster than it is read drops words: at most one change a second. */
function later(text) {
  queue = (queue + text).slice(-QUEUED);
  if (timer) return;
  const flush = () => {
    byId("spoken").textContent = queue.trim();
    queue = "";
    timer = setTimeout(() => {
      timer = 0;
      if (queue) later("");
    }, 1000);
  };
  flush();
}
