// What a message will cost, before it is sent: its tokens, counted by the server, at the list's prices or at the
// machine's; and what an answer cost that was stopped before its own bill came.

import { askJson } from "./api.js";
import { byId } from "./dom.js";
import { count, money, onLanguage, price, t } from "./i18n.js";
import { askMachine, hourly, machineCost } from "./machine.js";
import { sampling } from "./settings.js";

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

/** The field changed: after a pause, what `prompt()` gives is counted; an empty field has no forecast. */
export function forecast(text, prompt) {
  clearTimeout(timer);
  if (!text) show(null);
  else timer = setTimeout(async () => show(await asked(prompt())), PAUSE_MS);
}

async function asked(prompt) {
  try {
    const [found] = await Promise.all([askJson("tokenize", { body: prompt }), askMachine()]);
    return found;
  } catch {
    return null; // a gateway before another server, which counts otherwise: no forecast is better than an error
  }
}

function show(found) {
  counted = found;
  draw();
}

function draw() {
  byId("forecast").hidden = !counted;
  byId("hint").hidden = Boolean(counted);
  if (counted) byId("forecast").textContent = words(counted.count, counted.max_model_len);
}

/** At most: every token of the prompt as a miss, and an answer as long as it may become. */
function words(prompt, context) {
  const tokens = count(prompt);
  const most = Math.max(0, Math.min(sampling().max_tokens ?? Infinity, context - prompt));
  if (prices.name) {
    const cost = (out) => money(listPrice(prompt, out), prices.currency);
    return t("forecast-priced", { tokens, cost: cost(0), most: count(most), total: cost(most) });
  }
  const hour = hourly();
  if (!hour) return t("forecast", { tokens, most: count(context) });
  const cost = (input, out) => money(machineCost(input, out), hour.currency);
  if (machineCost(1, 1) === null)
    return t("forecast-unmeasured", { tokens, price: money(hour.per_hour, hour.currency) });
  return t("forecast-machine", { tokens, cost: cost(prompt, 0), most: count(most), total: cost(prompt, most) });
}

const listPrice = (prompt, output) => (Math.max(prices.hit, prices.miss) * prompt + prices.output * output) / 1e6;

/**
 * The usage of an answer that was stopped, in the shape of the server's and marked `estimated`: the server counts the
 * tokens of the prompt and of what came, at the prices that the forecast has too. `prompt`: a body of /tokenize;
 * `chunks`: how many pieces came, for a server that does not count.
 */
export async function estimated(prompt, answer, chunks) {
  const [input, output] = await Promise.all([
    asked(prompt),
    asked({ prompt: answer, add_special_tokens: false }),
  ]);
  const tokens = [input?.count ?? null, output?.count ?? chunks];
  const [machine, hour] = [machineCost(tokens[0] ?? 0, tokens[1]), hourly()];
  const cost = {
    ...(machine !== null && { machine_cost: machine, machine_currency: hour.currency }),
    ...(prices.name && { list_price: listPrice(tokens[0] ?? 0, tokens[1]), currency: prices.currency, price_list: prices.name }),
  };
  return { estimated: true, prompt_tokens: tokens[0], completion_tokens: tokens[1], cost };
}

onLanguage(draw);
