// Talking to the server: the key, errors as sentences, JSON, and streams of server-sent events.

import { kept, keptHere } from "./dom.js";
import { roundTime, t } from "./i18n.js";

let askForKey = async () => false;

/** `ask(refused)` shows the key's dialog and says whether there is a key to try now. */
export const onKeyAsked = (ask) => (askForKey = ask);

export const key = () => keptHere.get("key") ?? kept.get("key");

export function setKey(value, keep) {
  keptHere.drop("key");
  kept.drop("key");
  if (value) (keep ? kept : keptHere).set("key", value);
}

/** What went wrong, as a sentence; `code`: the HTTP status, 0 where there was no answer; `param`: the field it is about. */
export class ServerError extends Error {
  constructor(message, code, param = null) {
    super(message);
    this.code = code;
    this.param = param;
  }
}

/**
 * The response of the server, asked again once a key is given after a 401. Paths are relative, so that the page works
 * below a prefix too. Throws ServerError for every other status of 400 and up, and AbortError when stopped.
 * secret: a key to use in place of the page's, and then no other is asked for.
 */
export async function ask(path, { body, signal, secret = null, method = body ? "POST" : "GET" } = {}) {
  for (;;) {
    const used = secret ?? key();
    const response = await send(path, { method, body, signal }, used);
    if (response.ok) return response;
    if (response.status === 401 && secret === null && (await askForKey(used !== null))) continue;
    const { said, param } = await sentence(response);
    throw new ServerError(said, response.status, param);
  }
}

export const askJson = async (path, options) => (await ask(path, options)).json();

async function send(path, { method, body, signal }, used) {
  const headers = {
    ...(body && { "Content-Type": "application/json" }),
    ...(used && { Authorization: `Bearer ${used}` }),
  };
  try {
    return await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(t("error-offline"), 0);
  }
}

/** The server's own words, else the code; when it says how long to wait, that too; and the field they are about. */
async function sentence(response) {
  let said = "";
  let param = null;
  try {
    const found = await response.json();
    said = found.error?.message ?? (typeof found.detail === "string" ? found.detail : "");
    param = found.error?.param ?? null;
  } catch {
    // not JSON: a proxy's page, which says less than the code
  }
  const wait = Number(response.headers.get("Retry-After"));
  const waits = wait > 0 ? t("error-wait", { time: roundTime(wait) }) : "";
  return { said: [said || t("error-code", { code: response.status }), waits].filter(Boolean).join(" "), param };
}

const BURST_MS = 8; // of events that came together; then the page has its turn

/** The data of each server-sent event, parsed, until [DONE]. Comments (keep-alive) are skipped. */
export async function* events(response) {
  let pause = performance.now() + BURST_MS;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let begun = []; // pieces of a line that has not ended, put together once it has
  try {
    for (;;) {
      const { done, value } = await readOrCut(reader);
      if (done) return;
      const lines = value.split("\n");
      begun.push(lines.shift());
      if (!lines.length) continue;
      lines.unshift(begun.join(""));
      begun = [lines.pop()];
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        yield parsed(data);
        if (performance.now() < pause) continue;
        await new Promise((done) => setTimeout(done));
        pause = performance.now() + BURST_MS;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new ServerError(t("error-cut"), 0); // half an event: whoever stands between ended the stream
  }
}

async function readOrCut(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(t("error-cut"), 0);
  }
}
