// The page's frame: which view is shown, language, colours, key. Start reading here.

import { showAdmin, startAdmin } from "./admin.js";
import { showBill, startBill } from "./bill.js";
import { showChat, startChat } from "./chat.js";
import { byId, kept } from "./dom.js";
import { hideEngine, showEngine, startEngine } from "./engine.js";
import { applyWords, onLanguage, otherLanguage, setLanguage, t } from "./i18n.js";
import { startKey } from "./key.js";
import { showPlan, startPlan } from "./plan.js";

const VIEWS = {
  chat: { show: showChat },
  engine: { show: showEngine, hide: hideEngine },
  bill: { show: showBill },
  plan: { show: showPlan },
  admin: { show: showAdmin },
};
const THEMES = ["auto", "light", "dark"];
let shown = null;

applyWords(document);
startKey();
startTheme();
byId("language").lang = otherLanguage();
byId("language").addEventListener("click", () => setLanguage(otherLanguage()));
onLanguage(() => {
  byId("language").lang = otherLanguage();
  title();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  (shown === "chat" ? byId("prompt") : byId("main")).focus();
});
startChat();
startEngine();
startBill();
startPlan();
startAdmin();
window.addEventListener("hashchange", () => open(true));
open(false);

/** Shows the view that the address names. `moved`: the person went there, so that the focus goes along. */
function open(moved) {
  const wanted = location.hash.slice(1);
  const name = wanted in VIEWS ? wanted : "chat";
  if (name !== shown) VIEWS[shown]?.hide?.();
  shown = name;
  for (const view of Object.keys(VIEWS)) byId(`view-${view}`).hidden = view !== name;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  title();
  VIEWS[name].show();
  window.scrollTo({ top: name === "chat" ? document.documentElement.scrollHeight : 0, behavior: "instant" });
  if (name === "chat" && matchMedia("(pointer: fine)").matches)
    byId("prompt").focus(); // no keyboard pops up on a phone
  else if (moved) byId("main").focus();
}

function title() {
  document.title = `${t(shown)} – centime`;
}

function startTheme() {
  const root = document.documentElement;
  const button = byId("theme");
  const draw = () => {
    const now = t(`theme-${root.dataset.theme ?? "auto"}`);
    button.textContent = now;
    button.setAttribute("aria-label", t("theme-label", { now }));
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") {
      delete root.dataset.theme;
      kept.drop("theme");
    } else {
      root.dataset.theme = next;
      kept.set("theme", next);
    }
    draw();
  });
  onLanguage(draw);
  draw();
}
