"""What LlamaIndex makes of a gateway: llama_index_run.py URL KEY; prints JSON. Runs in an environment of its own."""

import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

url, key = sys.argv[1:]


def weather(city: str) -> str:
    """The weather of a city."""
    return city


model = OpenAILike(
    model="org/m", api_base=f"{url}/v1", api_key=key, max_tokens=20, max_retries=0, is_chat_model=True,
    is_function_calling_model=True, context_window=1000,
)  # fmt: skip
asked = [ChatMessage(role="user", content="Hello")]
whole = model.chat(asked)
streamed, used = "", None
for piece in model.stream_chat(asked, stream_options={"include_usage": True}):
    streamed += piece.delta or ""
    used = getattr(piece.raw, "usage", None) or used
tool = FunctionTool.from_defaults(weather)
called = model.chat_with_tools([tool], user_msg="The weather in Paris?")
(call,) = model.get_tool_calls_from_response(called)
long = model.stream_chat([ChatMessage(role="user", content="Go on and on")])
begun = next(piece.delta for piece in long if piece.delta)
long.close()
print(
    json.dumps(
        {
            "whole": whole.message.content,
            "usage": [whole.raw.usage.prompt_tokens, whole.raw.usage.completion_tokens],
            "streamed": streamed,
            "streamed_usage": [used.prompt_tokens, used.completion_tokens],
            "tool": [call.tool_name, call.tool_kwargs],
            "begun": begun,
        }
    )
)
