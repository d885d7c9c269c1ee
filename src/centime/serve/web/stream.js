// One answer as it comes from the server: a chat's, or a text that the model goes on with.

import { ServerError, ask, events } from "./api.js";

export const now = () => performance.now() / 1000;

const PATHS = { chat: "v1/chat/completions", text: "v1/completions" };

/**
 * Streams an answer into `variant`. mode: "chat" or "text"; body: the request without what makes it a stream.
 * `grew(text)` is called for each piece, with what of it is to be read out. Throws ServerError, and AbortError.
 */
export async function receive(variant, mode, body, { signal, grew }) {
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  for await (const event of events(await ask(PATHS[mode], { body: asked, signal }))) {
    if (event.error) throw new ServerError(event.error.message, 0);
    variant.usage = event.usage ?? variant.usage;
    const choice = event.choices?.[0];
    if (!choice) continue;
    const { reasoning_content: reasoning, content = choice.text } = choice.delta ?? {};
    if (reasoning || content) {
      variant.timing.first ??= now();
      variant.timing.last = now();
      variant.chunks += 1;
    }
    if (reasoning) {
      variant.reasoning += reasoning;
      variant.thoughtSeconds = now() - variant.timing.first;
    }
    variant.text += content ?? "";
    variant.finish = choice.finish_reason ?? variant.finish;
    grew(content ?? "");
  }
}
