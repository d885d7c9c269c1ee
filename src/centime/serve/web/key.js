// The API key's dialog: opened when the server asks for one, and by its button.

import { key, onKeyAsked, setKey } from "./api.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";

const dialog = byId("key");
const field = byId("key-value");
let asked = null; // one dialog for however many requests wait for it

export function startKey() {
  byId("key-open").hidden = key() === null;
  byId("key-open").addEventListener("click", () => open(false));
  onKeyAsked((refused) => (asked ??= open(refused).finally(() => (asked = null))));
}

/** Whether a key was given. `refused`: the one that was used is not good. */
function open(refused) {
  byId("key-open").hidden = false;
  byId("key-why").textContent = t(refused ? "key-refused" : "key-why");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((done) => {
    dialog.addEventListener(
      "close",
      () => {
        const given = dialog.returnValue === "use" ? field.value.trim() : "";
        if (given) setKey(given, byId("key-keep").checked);
        else if (dialog.returnValue === "forget") setKey(null);
        field.value = "";
        done(given !== "");
      },
      { once: true },
    );
  });
}
