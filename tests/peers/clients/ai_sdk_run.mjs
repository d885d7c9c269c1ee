// What Vercel's AI SDK makes of a gateway: node ai_sdk_run.mjs URL KEY; prints JSON. Runs beside its own node_modules.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";

const [url, key] = process.argv.slice(2);
const model = createOpenAICompatible({ name: "centime", baseURL: `${url}/v1`, apiKey: key, includeUsage: true })("org/m");
const common = { model, maxOutputTokens: 20, maxRetries: 0 };
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

const whole = await generateText({ ...common, prompt: "Hello" });
const stream = streamText({ ...common, prompt: "Hello" });
let streamed = "";
for await (const piece of stream.textStream) streamed += piece;
const used = await stream.usage;
const called = await generateText({
  ...common,
  prompt: "The weather in Paris?",
  tools: { weather: tool({ description: "The weather of a city.", inputSchema: jsonSchema(city) }) },
});
const leaving = new AbortController();
const long = streamText({ ...common, prompt: "Go on and on", abortSignal: leaving.signal });
let begun = "";
try {
  for await (const piece of long.textStream) {
    begun ||= piece;
    leaving.abort();
  }
} catch (error) {
  if (error.name !== "AbortError") throw error;
}
console.log(
  JSON.stringify({
    whole: whole.text,
    usage: [whole.usage.inputTokens, whole.usage.outputTokens],
    streamed,
    streamed_usage: [used.inputTokens, used.outputTokens],
    tool: [called.toolCalls[0].toolName, called.toolCalls[0].input],
    begun,
  }),
);
