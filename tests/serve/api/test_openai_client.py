"""The published OpenAI client against a real server: chats, streams, tools, structured answers, errors."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from tests.loops import run_apart

pytestmark = pytest.mark.slow

ASK: list[Any] = [{"role": "system", "content": "the dog"}, {"role": "user", "content": "the cat sat"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"enum": ["Paris", "猫"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}


class Pet(BaseModel):
    kind: Literal["cat", "dog"]
    age: Literal[1, 2, 3]


@pytest.fixture
def client(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_a_chat_and_its_cost(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="small", messages=ASK, max_tokens=12, temperature=0)
    choice, usage = answer.choices[0], answer.usage
    assert choice.finish_reason in {"stop", "length"}
    assert choice.message.role == "assistant"
    assert isinstance(choice.message.content, str)
    assert usage is not None
    assert usage.completion_tokens <= 12
    extra: dict[str, Any] = usage.model_extra or {}
    assert extra["prompt_cache_hit_tokens"] + extra["prompt_cache_miss_tokens"] == usage.prompt_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    cost = extra["cost"]
    asked = extra["prompt_cache_hit_tokens"] * Decimal("0.1") + extra["prompt_cache_miss_tokens"] * 1
    asked += usage.completion_tokens * 2
    assert Decimal(cost["list_price"]) == asked / 10**6
    assert cost["currency"] == cost["machine_currency"] == "USD"
    assert cost["machine_seconds"] > 0
    assert Decimal(cost["machine_cost"]) == pytest.approx(
        Decimal(cost["machine_seconds"]) * 2 / 3600, rel=Decimal("1e-3")
    )


def test_a_second_ask_hits_the_cache(client: OpenAI) -> None:
    long: list[Any] = [{"role": "user", "content": "the cat sat on the mat and the dog ate the hat " * 8}]
    first = client.chat.completions.create(model="small", messages=long, max_tokens=4, temperature=0)
    second = client.chat.completions.create(model="small", messages=long, max_tokens=4, temperature=0)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    assert (second.usage.prompt_tokens_details.cached_tokens or 0) >= 64
    assert second.choices[0].message.content == first.choices[0].message.content


def test_a_stream_says_the_same(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="small", messages=ASK, max_tokens=20, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model="small", messages=ASK, max_tokens=20, temperature=0, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert (chunks[-1].usage.model_extra or {})["cost"]["list_price"]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    plain = list(client.chat.completions.create(model="small", messages=ASK, max_tokens=20, temperature=0, stream=True))
    assert [chunk.usage is not None for chunk in plain] == [False] * (len(plain) - 1) + [True]


def test_many_choices_seeds_and_logprobs(client: OpenAI) -> None:
    def ask(**more: Any) -> Any:
        return client.chat.completions.create(model="small", messages=ASK, max_tokens=8, **more)

    three = ask(n=3, seed=7, logprobs=True, top_logprobs=2)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in three.choices}) > 1
    again = ask(n=3, seed=7)
    assert [choice.message.content for choice in again.choices] == [c.message.content for c in three.choices]
    assert three.usage.completion_tokens == sum(len(c.logprobs.content) for c in three.choices)
    for choice in three.choices:
        spelled = b"".join(bytes(entry.bytes) for entry in choice.logprobs.content)
        assert spelled.decode("utf-8", "replace").startswith(choice.message.content[:3])
        for entry in choice.logprobs.content:
            assert entry.logprob <= 0
            assert len(entry.top_logprobs) == 2
            assert entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob
    greedy = ask(temperature=0, logprobs=True, top_logprobs=1)
    for entry in greedy.choices[0].logprobs.content:
        assert entry.token == entry.top_logprobs[0].token


def test_stops_biases_and_our_own_knobs(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="small", messages=ASK, max_tokens=16, temperature=0, logprobs=True)
    text = plain.choices[0].message.content or ""
    assert len(text) > 4
    stop = text[2:4]
    cut = client.chat.completions.create(model="small", messages=ASK, max_tokens=16, temperature=0, stop=[stop])
    assert cut.choices[0].finish_reason == "stop"
    assert cut.choices[0].message.content == text[: text.index(stop)]
    token = plain.choices[0].logprobs.content[0]  # type: ignore[union-attr,index]
    url = str(client.base_url).removesuffix("/v1/")
    ids = client.post(f"{url}/tokenize", body={"text": token.token}, cast_to=dict[str, Any])["tokens"]  # type: ignore[misc]
    banned = client.chat.completions.create(
        model="small", messages=ASK, max_tokens=1, temperature=0, logprobs=True, logit_bias={str(ids[-1]): -100}
    )
    assert banned.choices[0].logprobs.content[0].token != token.token  # type: ignore[union-attr,index]
    one = client.chat.completions.create(
        model="small", messages=ASK, max_tokens=16, extra_body={"top_k": 1, "min_p": 0.1, "repetition_penalty": 1.0}
    )
    assert one.choices[0].message.content == text


def test_a_tool_that_must_be_called(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="small", messages=ASK, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=400
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["place"] in {"Paris", "猫"}
    assert 1 <= arguments["days"] <= 9
    messages = [*ASK, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    after = client.chat.completions.create(model="small", messages=messages, tools=[WEATHER], max_tokens=4)
    assert after.choices[0].finish_reason in {"stop", "length"}


def test_a_streamed_tool_call(client: OpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    with client.chat.completions.stream(
        model="small", messages=ASK, tools=[WEATHER], tool_choice=named, parallel_tool_calls=False, max_tokens=400
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    assert final.choices[0].finish_reason == "tool_calls"
    call = final.choices[0].message.tool_calls[0]  # type: ignore[index]
    assert json.loads(call.function.arguments)["place"] in {"Paris", "猫"}
    assert not final.choices[0].message.content


def test_structured_answers(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(model="small", messages=ASK, response_format=Pet, max_tokens=300)
    assert isinstance(parsed.choices[0].message.parsed, Pet)
    pattern: Any = {"type": "regex", "regex": "(cat|dog)-[0-9]{3}"}
    text = (
        client.chat.completions.create(model="small", messages=ASK, response_format=pattern).choices[0].message.content
    )
    assert re.fullmatch("(cat|dog)-[0-9]{3}", text or "")
    grammar: Any = {"type": "grammar", "grammar": 'root ::= "the " ("cat" | "dog")'}
    text = (
        client.chat.completions.create(model="small", messages=ASK, response_format=grammar).choices[0].message.content
    )
    assert text in {"the cat", "the dog"}


def test_completions_and_the_middle_of_a_text(client: OpenAI) -> None:
    plain = client.completions.create(
        model="small", prompt="the cat", max_tokens=8, temperature=0, logprobs=1, echo=True
    )
    choice = plain.choices[0]
    assert choice.text.startswith("the cat")
    assert choice.logprobs is not None
    assert choice.logprobs.text_offset is not None
    assert choice.logprobs.text_offset[0] == 0
    assert "".join(choice.logprobs.tokens or []) == choice.text
    filled = client.completions.create(model="small", prompt="def f(", suffix="return x", max_tokens=8, temperature=0)
    assert filled.usage is not None
    assert filled.choices[0].finish_reason in {"stop", "length"}
    streamed = client.completions.create(model="small", prompt="the cat", max_tokens=8, temperature=0, stream=True)
    assert "the cat" + "".join(chunk.choices[0].text for chunk in streamed) == choice.text


def test_an_answer_that_is_begun(url: str) -> None:
    beta = OpenAI(base_url=f"{url}/beta", api_key="none", max_retries=0)
    begun: Any = [*ASK, {"role": "assistant", "content": "on the", "prefix": True}]
    answer = beta.chat.completions.create(model="small", messages=begun, max_tokens=6, temperature=0)
    whole = beta.completions.create(
        model="small", temperature=0, max_tokens=6,
        prompt="<｜begin▁of▁sentence｜>the dog<｜User｜>the cat sat<｜Assistant｜>on the",
    )  # fmt: skip
    # of an answer that is cut a chat leaves half a character out
    assert answer.choices[0].message.content == whole.choices[0].text.rstrip("\ufffd")


def test_models_and_errors(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["small", "deepseek-chat"]
    assert client.models.retrieve("small").owned_by == "centime"
    with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
        client.chat.completions.create(model="gpt-5", messages=ASK)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        client.chat.completions.create(model="small", messages=ASK, temperature=3)
    assert invalid.value.param == "temperature"
    image: Any = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]}
    with pytest.raises(openai.BadRequestError, match="text only"):
        client.chat.completions.create(model="small", messages=[image])
    with pytest.raises(openai.BadRequestError, match="'json'"):
        client.chat.completions.create(model="small", messages=ASK, response_format={"type": "json_object"})
    pattern: Any = {"type": "regex", "regex": "(["}
    with pytest.raises(openai.UnprocessableEntityError, match="regular expression"):
        client.chat.completions.create(model="small", messages=ASK, response_format=pattern)
    with pytest.raises(openai.BadRequestError, match="maximum context length is 2,048") as long:
        client.completions.create(model="small", prompt="x " * 5000)
    assert long.value.code == "context_length_exceeded"


def test_many_at_once_without_threads(url: str) -> None:
    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

            async def one(number: int) -> str:
                stream = await client.chat.completions.create(
                    model="small", messages=ASK, max_tokens=12, seed=number, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(one(number % 3) for number in range(9)))

    texts = run_apart(ask())
    assert texts[:3] * 3 == texts
