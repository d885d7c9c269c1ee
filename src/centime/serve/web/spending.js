// Who spends what this month, how long budgets last, and the keys: sections as the server words and draws them.

import { askJson } from "./api.js";
import { byId } from "./dom.js";
import { language } from "./i18n.js";
import { drawSection } from "./sections.js";

/** Asked anew at each look; a server that keeps none of it shows nothing. */
export async function showSpending() {
  const box = byId("spending");
  if (box.closest("[hidden]")) return;
  try {
    const { sections } = await askJson(`page/spending?lang=${language()}`);
    box.replaceChildren(...sections.map(drawSection));
  } catch {
    box.replaceChildren(); // what is wrong with the server, the bill above says
  }
}
