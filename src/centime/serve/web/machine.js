// What the server says of its machine: whether its model chats, an hour's price, and the time a token has taken so far.

import { askJson } from "./api.js";

let known = null;

/** Asks anew; a server without an engine of its own (a gateway) tells nothing, and null stays. */
export async function askMachine() {
  try {
    known = await askJson("page/engine");
  } catch (error) {
    if (error.code !== 404) throw error;
  }
  return known;
}

/** Whether the model was tuned to chat; true where nobody said otherwise. */
export const chats = () => known?.chat ?? true;

/** {per_hour, currency} of all devices, or null. */
export const hourly = () => known?.price ?? null;

/** What tokens would cost at the time that tokens have taken so far; null without a price or before the first token. */
export function machineCost(prompt, output) {
  const { price, seconds_per_token: seconds } = known ?? {};
  if (!price || !seconds) return null;
  return (price.per_hour / 3600) * (prompt * seconds.prompt + output * seconds.output);
}
