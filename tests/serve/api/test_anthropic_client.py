"""The published Anthropic client against a real server."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from tests.loops import run_apart

pytestmark = pytest.mark.slow

ASK: list[Any] = [{"role": "user", "content": "the cat sat"}]
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather of a place.",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["place", "days"],
        "additionalProperties": False,
    },
}
GREEDY = {"temperature": 0}  # the client no longer names it
MUST: Any = {"type": "any", "disable_parallel_tool_use": True}


@pytest.fixture
def client(url: str) -> Anthropic:
    return Anthropic(base_url=f"{url}/anthropic", api_key="none", max_retries=0)


def test_a_message_and_its_cost(client: Anthropic) -> None:
    answer = client.messages.create(
        model="claude-sonnet-4", max_tokens=12, system="the dog", messages=ASK, extra_body=GREEDY
    )
    assert answer.type == "message"
    assert answer.role == "assistant"
    assert answer.stop_reason in {"end_turn", "max_tokens"}
    assert answer.content[0].type == "text"
    usage = answer.usage
    assert usage.output_tokens <= 12
    counted = client.messages.count_tokens(model="small", system="the dog", messages=ASK)
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert (usage.model_extra or {})["cost"]["list_price"]


def test_a_stream_says_the_same(client: Anthropic) -> None:
    whole = client.messages.create(model="small", max_tokens=16, messages=ASK, extra_body=GREEDY)
    with client.messages.stream(model="small", max_tokens=16, messages=ASK, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert text[2:4]
    cut = client.messages.create(
        model="small", max_tokens=16, messages=ASK, extra_body=GREEDY, stop_sequences=[text[2:4]]
    )
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", text[2:4])


def test_tools(client: Anthropic) -> None:
    answer = client.messages.create(model="small", max_tokens=400, messages=ASK, tools=[TOOL], tool_choice=MUST)
    assert answer.stop_reason == "tool_use"
    call = answer.content[-1]
    assert call.type == "tool_use"
    assert call.name == "get_weather"
    assert isinstance(call.input, dict)
    assert call.input["place"] in {"Paris", "Rome"}
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "sunny"}]}
    messages: list[Any] = [
        *ASK,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result, {"type": "text", "text": "and the dog"}]},
    ]
    after = client.messages.create(model="small", max_tokens=4, messages=messages, tools=[TOOL])
    assert after.stop_reason in {"end_turn", "max_tokens"}
    with client.messages.stream(
        model="small",
        max_tokens=400,
        messages=ASK,
        tools=[TOOL],
        tool_choice={**MUST, "type": "tool", "name": "get_weather"},
    ) as stream:
        parts = [
            event.delta.partial_json
            for event in stream
            if getattr(getattr(event, "delta", None), "type", "") == "input_json_delta"
        ]
        final = stream.get_final_message()
    assert len(parts) > 2
    streamed = final.content[-1]
    assert streamed.type == "tool_use"
    assert 1 <= streamed.input["days"] <= 9  # type: ignore[index,operator]


def test_structured_output(client: Anthropic) -> None:
    shape: Any = {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}
    answer = client.messages.create(model="small", max_tokens=400, messages=ASK, extra_body={"output_config": shape})
    assert answer.content[0].type == "text"
    assert '"place"' in answer.content[0].text


def test_errors(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="does not exist"):
        client.messages.create(model="gpt-5", max_tokens=4, messages=ASK)
    with pytest.raises(anthropic.UnprocessableEntityError) as invalid:
        client.messages.create(model="small", max_tokens=0, messages=ASK)
    body: Any = invalid.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
    with pytest.raises(anthropic.BadRequestError, match="text only"):
        client.messages.create(model="small", max_tokens=4, messages=[{"role": "user", "content": [image]}])


def test_without_threads(url: str) -> None:
    async def ask() -> str:
        client = AsyncAnthropic(base_url=f"{url}/anthropic", api_key="none")
        async with client, client.messages.stream(model="small", max_tokens=8, messages=ASK) as stream:
            return "".join([text async for text in stream.text_stream])

    assert run_apart(ask())
