"""What the gateway understood of a body is what it sends on; what it did not need to understand goes on as it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.gateway.put import ASK, STREAM, Put
from tests.serve.gateway.running import answer

from centime.serve.gateway.inbound import ChatBody, parse_inbound
from centime.serve.gateway.prompt_bounds import most_prompt_tokens, number_of_prompts


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "TRUE", "yes", "on", "1", "t", "y"])
def test_whatever_asks_for_a_stream_gets_one(put: Callable[..., Put], value: Any) -> None:
    made = put(STREAM)
    events = made.events(stream=value, stream_options={"include_usage": value})
    assert events[-1] == "[DONE]"
    assert [event["usage"]["prompt_tokens"] for event in events[:-1] if event.get("usage")] == [100]
    assert made.upstream.bodies[0]["stream"] is True
    assert made.upstream.bodies[0]["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert made.sums()[0] == 1


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "no", "off", "0", None])
def test_whatever_asks_for_none_gets_a_body(put: Callable[..., Put], value: Any) -> None:
    made = put(answer("Hello", 100, 2))
    assert made.post(ASK | {"stream": value}).json()["choices"]
    assert made.upstream.bodies[0].get("stream") is (None if value is None else False)
    assert made.sums()[0] == 1


def test_numbers_go_on_as_they_were_understood_and_all_else_as_it_came(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 2))
    extras = {
        "chat_template_kwargs": {"thinking": "yes", "n": "2"}, "structured_outputs": {"json": {"type": "object"}},
        "copy": 1, "json": [2], "model_fields": {"a": None}, "__class__": "x", "model_dump": None, "__dict__": {},
        "temperature": 1, "logit_bias": {"5": -1.5}, "vllm_xargs": None, "big": 10**30, "empty": [], "seed": "7",
    }  # fmt: skip
    options = {"copy": 1, "other": None}
    extras |= {"stream_options": options}
    sent = (
        ASK
        | extras
        | {
            "stream_options": options | {"include_usage": None},
            "n": "2",
            "max_tokens": 5.0,
            "best_of": True,
            "max_completion_tokens": -1,
            "user": None,
        }
    )
    assert made.post(sent).status_code == 200
    assert made.upstream.bodies == [ASK | extras | {"n": 2, "max_tokens": 5, "best_of": 1}]


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 1000),
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 10, "max_completion_tokens": 30, "n_predict": 20}, 30),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"max_tokens": 10, "n": 2, "best_of": 5}, 50),
        ({"max_tokens": 10, "n_cmpl": 4}, 40),
        ({"max_tokens": 10, "n": 4, "use_beam_search": True}, 40),
        ({"max_tokens": -1}, 1000),
        ({"max_tokens": 10, "prompt": ["a", "b"]}, 20),
        ({"max_tokens": 10, "prompt": [[1, 2], [3]], "n": 2}, 40),
        ({"max_tokens": 10, "prompt": [1, 2, 3]}, 10),
        ({"max_tokens": 10, "prompt": [1, "a", 3]}, 30),
        ({"max_tokens": 10, "prompt": ["a"], "prompt_embeds": ["x", "y"]}, 30),
    ],
)
def test_the_longest_answer_counts_every_sequence_that_is_made(fields: dict[str, Any], most: int) -> None:
    inbound = parse_inbound("completions", ChatBody.model_validate(fields), fields, 100)
    assert inbound.most_output(1000) == most


@pytest.mark.parametrize(("counted", "left"), [(None, 10), (95, 5), (100, 0), (200, 0), (20, 10)])
def test_an_answer_is_no_longer_than_what_the_prompt_leaves_of_the_context(counted: int | None, left: int) -> None:
    fields = {"max_tokens": 10, "n": 3}
    inbound = parse_inbound("completions", ChatBody.model_validate(fields), fields, 100)
    assert inbound.most_output(100, counted) == 3 * left


IMAGE = {"type": "image_url", "image_url": {"url": "http://x/y"}}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]}]}, False),
        ({"messages": [{"role": "user", "content": [{"image_url": "http://x"}]}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [IMAGE]}]}]}, False),
        ({"messages": [{"role": "user", "content": "Hi"}], "chat_template": "{{ 'x' * 10**9 }}"}, False),
        ({"prompt": "Hi"}, True),
        ({"prompt": [[1, 2], "Hi"]}, True),
        ({"prompt": {"prompt_string": "Hi", "multimodal_data": ["..."]}}, False),
        ({"input": [{"image": "http://x"}]}, False),
        ({"messages": "Hi"}, True),
        ({}, True),
    ],
)
def test_bytes_tell_how_long_a_prompt_may_be_unless_it_has_more_than_text(body: dict[str, Any], told: bool) -> None:
    most = most_prompt_tokens(body, 1000)
    assert (most is not None) == told
    assert most is None or most >= 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["messages", "prompt", "input", "system", "prompt_embeds", "chat_template", "content", "role"])


@given(st.dictionaries(NAMES, JSON))
def test_any_body_has_a_number_of_prompts(body: dict[str, Any]) -> None:
    assert number_of_prompts(body) >= 1
    assert (most_prompt_tokens(body, 10) or 10) >= 10
