// Whether one chats with the model or gives it a text to go on with: as the server says it was tuned, until the person
// chooses; the choice is kept for the model.

import { byId, kept } from "./dom.js";
import { chats } from "./machine.js";

const CHOICES = ["chat", "text"];
let changed = () => {};

const kept_ = () => `mode.${byId("model").value}`;

/** "chat" or "text". */
export function mode() {
  const chosen = kept.get(kept_());
  return CHOICES.includes(chosen) ? chosen : chats() ? "chat" : "text";
}

/** Whether the model does not chat, and nobody chose. */
export const isBase = () => !chats();

/** `redraw()` is called when the person chose. */
export function startMode(redraw) {
  changed = redraw;
  for (const choice of CHOICES) {
    byId(`mode-${choice}`).addEventListener("change", () => {
      kept.set(kept_(), choice);
      showMode();
      changed();
    });
  }
  byId("model").addEventListener("change", () => {
    showMode();
    changed();
  });
}

/** The switch and the field for the prompt as the mode has them. */
export function showMode() {
  const now = mode();
  byId(`mode-${now}`).checked = true;
  byId("view-chat").classList.toggle("verbatim", now === "text");
}
