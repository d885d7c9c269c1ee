"""What an upstream is asked for the tokens of a prompt, and what its answer says."""

from __future__ import annotations

from typing import Any

import pytest

from centime.serve.gateway.inbound import ChatBody, parse_inbound
from centime.serve.gateway.upstreams.tokenize_requests import count_of, prompt_question, text_question

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [], "temperature": 1}


def question(kind: str, body: dict[str, Any], upstream: str) -> Any:
    inbound = parse_inbound(kind, ChatBody.model_validate({}), body, 100)  # type: ignore[arg-type]
    return prompt_question(inbound, body, upstream)


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("Hi", {"model": "m", "prompt": "Hi"}),
        (["Hi"], {"model": "m", "prompt": "Hi"}),
        ([1, 2, 3], 3),
        (["Hi", "Ho"], None),
        ([["Hi"]], None),
        (None, None),
    ],
)
def test_one_prompt_of_text_is_asked_for_and_ids_are_counted(prompt: Any, asked: Any) -> None:
    assert question("completions", {"model": "m", "prompt": prompt}, "vllm") == asked
    told = question("completions", {"model": "m", "prompt": prompt}, "llamacpp")
    both = {"content": "Hi", "add_special": True, "parse_special": True} if isinstance(asked, dict) else asked
    assert told == both


def test_turns_are_asked_for_where_an_upstream_takes_them() -> None:
    assert question("chat", CHAT, "vllm") == {"model": "m", "messages": CHAT["messages"], "tools": []}
    assert question("chat", CHAT, "centime") == {"model": "m", "messages": CHAT["messages"]}
    assert question("chat", CHAT, "llamacpp") is None
    assert question("chat", CHAT | {"prompt": "made of them"}, "llamacpp")["content"] == "made of them"


def test_a_text_is_asked_for_without_what_begins_a_prompt() -> None:
    assert text_question("Hi", None, "vllm") == {"prompt": "Hi", "add_special_tokens": False}
    assert text_question("Hi", "m", "sglang") == {"model": "m", "prompt": "Hi", "add_special_tokens": False}
    assert text_question("Hi", "m", "llamacpp") == {"content": "Hi", "add_special": False, "parse_special": True}


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"count": 3}, 3),
        ({"count": 0}, 0),
        ({"count": -1}, None),
        ({"count": True}, None),
        ({"count": 3, "tokens": [1]}, 3),
        ({"tokens": [1, 2]}, 2),
        ({"tokens": 2}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_answer_says_a_count_or_nothing(answer: dict[str, Any] | None, count: int | None) -> None:
    assert count_of(answer) == count
