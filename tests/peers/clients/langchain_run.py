"""What LangChain makes of a gateway: langchain_run.py URL KEY; prints JSON. Runs in an environment of its own."""

import json
import sys

from langchain_openai import ChatOpenAI

url, key = sys.argv[1:]


def weather(city: str) -> str:
    """The weather of a city."""
    return city


model = ChatOpenAI(model="org/m", base_url=f"{url}/v1", api_key=key, max_tokens=20, max_retries=0)
whole = model.invoke("Hello")
streamed, used = "", None
for piece in model.stream("Hello", stream_usage=True):
    streamed += piece.content
    used = piece.usage_metadata or used
called = model.bind_tools([weather]).invoke("The weather in Paris?")
long = model.stream("Go on and on")
begun = next(piece.content for piece in long if piece.content)
long.close()
print(
    json.dumps(
        {
            "whole": whole.content,
            "usage": [whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]],
            "streamed": streamed,
            "streamed_usage": [used["input_tokens"], used["output_tokens"]],
            "tool": [called.tool_calls[0]["name"], called.tool_calls[0]["args"]],
            "begun": begun,
        }
    )
)
