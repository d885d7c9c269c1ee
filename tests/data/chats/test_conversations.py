"""Chats in the shapes that people publish: all of them the same messages, and a sentence where one is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from centime.data.chats import conversation, preference
from centime.errors import UserError

ASKED, SAID = {"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [ASKED, SAID]},
        {"messages": [{**ASKED, "name": None, "tool_calls": None}, SAID], "tools": None},
        {"messages": json.dumps([ASKED, SAID])},
        {"messages": [{**ASKED, "content": [{"type": "text", "text": part} for part in ("2 + ", "3?")]}, SAID]},
        {"conversations": [{"from": "human", "value": "2 + 3?"}, {"from": "gpt", "value": "5"}]},
        {"conversations": [ASKED, SAID]},
        {"prompt": "2 + 3?", "answer": "5"},
        {"prompt": "2 + 3?", "completion": "5", "messages": None},
        {"prompt": [ASKED], "completion": [SAID]},
        {"instruction": "2 + 3?", "input": "", "output": "5"},
        {"instruction": "2 + 3?", "input": None, "output": "5"},
    ],
)  # fmt: skip
def test_every_shape_gives_the_same_messages(record: dict[str, Any]) -> None:
    assert conversation(record, "here").messages == [ASKED, SAID]


def test_what_goes_beside_the_texts_is_kept() -> None:
    call = {"name": "add", "arguments": {"a": 2}}
    shared = {
        "system": "Be kind.",
        "conversations": [
            {"from": "human", "value": "2 + 3?"},
            {"from": "function_call", "value": json.dumps(call)},
            {"from": "observation", "value": "5"},
            {"from": "gpt", "value": "5"},
        ],
        "tools": '[{"type": "function"}]',
    }
    found = conversation(shared, "here")
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.messages[2]["tool_calls"] == [{"type": "function", "function": call}]
    assert list(found.tools) == [{"type": "function"}]
    for key in ("reasoning_content", "reasoning", "thinking"):
        [_, said] = conversation({"messages": [ASKED, {**SAID, key: "hm"}]}, "here").messages
        assert said == {**SAID, "reasoning_content": "hm"}
    alpaca = {"instruction": "Add", "input": "2, 3", "output": "5", "system": "Be kind."}
    assert [m["content"] for m in conversation(alpaca, "here").messages] == ["Be kind.", "Add\n\n2, 3", "5"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (5, "a.jsonl, line 3 has a int; expected"),
        ({}, "line 3 has the keys ; expected"),
        ({"text": "a"}, "line 3 has the keys 'text'; expected"),
        ({"messages": "no JSON"}, "every message needs a role and a content"),
        ({"messages": [5]}, "every message needs a role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAID]}, "both text"),
        ({"messages": [ASKED]}, "has no answer"),
        ({"messages": [ASKED, {**SAID, "reasoning_content": 5}]}, "reasoning_content is no text"),
        ({"conversations": [{"from": "nobody", "value": "a"}]}, "a message is from 'nobody'; known are human"),
        ({"conversations": [{"from": "function_call", "value": "add(2)"}]}, 'has {"name", "arguments"}'),
        ({"instruction": 5, "output": "a"}, "instruction is no text"),
        ({"messages": [ASKED, SAID], "tools": "none"}, "tools are a list"),
        ({"messages": [ASKED, SAID], "tools": 3}, "tools are a list"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_named(record: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        conversation(record, "a.jsonl, line 3")
    assert message in str(error.value)
    assert "a.jsonl, line 3" in str(error.value)


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "2 + 3?", "chosen": "5", "rejected": "6"},
        {"prompt": [ASKED], "chosen": [SAID], "rejected": [{**SAID, "content": "6"}]},
        {"chosen": [ASKED, SAID], "rejected": [ASKED, {**SAID, "content": "6"}]},
        {"prompt": None, "chosen": [ASKED, SAID], "rejected": [ASKED, {**SAID, "content": "6"}]},
    ],
)
def test_preferences_are_two_conversations(record: dict[str, Any]) -> None:
    found = preference(record, "here")
    assert found.chosen.messages == [ASKED, SAID]
    assert found.rejected.messages == [ASKED, {**SAID, "content": "6"}]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "a", "chosen": "b"}, "expected a preference"),
        ([], "has a list; expected a preference"),
        ({"chosen": [ASKED, SAID], "rejected": [SAID]}, "differ before their last answers"),
        ({"chosen": [ASKED, SAID, ASKED], "rejected": [ASKED, SAID]}, "chosen does not end with an answer"),
        ({"chosen": [ASKED], "rejected": [ASKED, SAID]}, "chosen has no answer"),
    ],
)
def test_what_is_no_preference_is_named(record: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        preference(record, "here")
