"""The published OpenAI and Anthropic clients through the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from tests.serve.gateway.put import COST, STREAM, Put, key
from tests.serve.gateway.running import answer


def test_the_openai_client(put: Callable[..., Put]) -> None:
    made = put(lambda body: STREAM if body.get("stream") else answer("Hello", 100, 2, 60))
    client = openai.OpenAI(base_url=made.url + "/v1", api_key="none", max_retries=0)
    whole = client.chat.completions.create(model="org/m", messages=[{"role": "user", "content": "Hi"}])
    assert whole.choices[0].message.content == "Hello"
    assert whole.usage is not None
    assert whole.usage.total_tokens == 102
    pieces = client.chat.completions.create(
        model="org/m", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
    )
    found = list(pieces)
    assert "".join(piece.choices[0].delta.content or "" for piece in found if piece.choices) == "Hello"
    assert found[-1].usage is not None
    assert found[-1].usage.prompt_tokens == 100
    assert [model.id for model in client.models.list()] == ["org/m"]
    header = key(made, budget="$0.0001")["Authorization"].removeprefix("Bearer ")
    poor = openai.OpenAI(base_url=made.url + "/v1", api_key=header, max_retries=0)
    with pytest.raises(openai.APIStatusError) as refused:
        poor.chat.completions.create(model="org/m", messages=[{"role": "user", "content": "Hi"}], max_tokens=500)
    assert refused.value.status_code == 402


MESSAGE = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    b'"model":"m","content":[],"usage":{"input_tokens":40,"cache_read_input_tokens":60,"output_tokens":0}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
    b'"text":""}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"Hello"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":'
    b'{"output_tokens":2}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


def test_the_anthropic_client(put: Callable[..., Put]) -> None:
    whole = {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hello"}],
        "usage": {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 2},
    }  # fmt: skip
    made = put(lambda body: MESSAGE if body.get("stream") else whole)
    client = anthropic.Anthropic(base_url=made.url + "/anthropic", api_key="none", max_retries=0)
    asked: Any = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
    assert client.messages.create(**asked).content[0].text == "Hello"
    assert made.sums() == (1, 100, 60, 2, COST)
    with client.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == "Hello"
        assert stream.get_final_message().usage.output_tokens == 2
    assert made.sums() == (2, 200, 120, 4, 2 * COST)
    assert made.upstream.paths == ["/v1/messages"] * 2
    assert "stream_options" not in made.upstream.bodies[1]
