// What a message will cost, before it is sent: its tokens, counted by the server, at the prices of the moment.

import { askJson } from "./api.js";
import { byId } from "./dom.js";
import { count, money, onLanguage, price, t } from "./i18n.js";

const PAUSE_MS = 400; // without a key pressed
let prices = {};
let counted = null; // {count, max_model_len} of what is in the field
let timer = 0;

/** Prices of this account, for the forecast and for the empty page; {} without a price list. */
export async function askPrices() {
  prices = await askJson("page/prices");
  return prices;
}

/** What the price list asks per million tokens, as a sentence; nothing without one. */
export function pricesInWords() {
  if (!prices.name) return "";
  const when = { peak: t("peak"), "off-peak": t("off-peak") }[prices.hours];
  const name = when ? t("price-terms", { name: prices.name, when }) : prices.name;
  const [hit, miss, output] = ["hit", "miss", "output"].map((kind) => price(prices[kind], prices.currency));
  return t("prices-now", { name, hit, miss, output });
}

/** The field changed: after a pause, `messages()` with what it holds are counted; an empty field has no forecast. */
export function forecast(text, messages) {
  clearTimeout(timer);
  if (!text) show(null);
  else timer = setTimeout(async () => show(await asked(messages())), PAUSE_MS);
}

async function asked(messages) {
  try {
    return await askJson("tokenize", { body: { messages } });
  } catch {
    return null; // a gateway before another server, which counts otherwise: no forecast is better than an error
  }
}

function show(found) {
  counted = found;
  draw();
}

/** At most: every token of the prompt as a miss. What is out has a price too, and its number nobody knows yet. */
function draw() {
  byId("forecast").hidden = !counted;
  byId("hint").hidden = Boolean(counted);
  if (!counted) return;
  const tokens = count(counted.count);
  byId("forecast").textContent = prices.name
    ? t("forecast-priced", {
        tokens,
        cost: money((Math.max(prices.hit, prices.miss) * counted.count) / 1e6, prices.currency),
        thousand: price(prices.output / 1e3, prices.currency),
      })
    : t("forecast", { tokens, most: count(counted.max_model_len) });
}

onLanguage(draw);
