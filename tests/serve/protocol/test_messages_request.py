"""Anthropic's body as the chat that it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from centime.serve.http.errors import ApiError
from centime.serve.protocol import messages_request
from centime.serve.protocol.chat_request import ChatRequest
from centime.serve.protocol.messages_request import CountRequest, MessagesRequest, as_chat_request

TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}


def chat(content: Any = "Hi", **given: Any) -> ChatRequest:
    turns = given.pop("messages", [{"role": "user", "content": content}])
    return as_chat_request(MessagesRequest.model_validate({"model": "m", "max_tokens": 5, "messages": turns, **given}))


def turns(request: ChatRequest) -> list[dict[str, Any]]:
    return [message.turn() for message in request.messages]


def test_blocks_become_turns_tool_results_first() -> None:
    answer = [
        {"type": "thinking", "thinking": "one"},
        {"type": "thinking", "thinking": "two"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "look."},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"é": 1}},
        {"type": "tool_use", "id": "c2", "name": "g"},
    ]
    results = [
        {"type": "text", "text": "And now?"},
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": t} for t in ("a", "b")]},
        {"type": "tool_result", "tool_use_id": "c2"},
    ]
    system = [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]
    found = chat(
        system=system, messages=[{"role": "assistant", "content": answer}, {"role": "user", "content": results}]
    )
    called = [("c1", "f", '{"é": 1}'), ("c2", "g", "{}")]
    assert turns(found) == [
        {"role": "system", "content": "Be\nkind."},
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "one\ntwo",
            "tool_calls": [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in called
            ],
        },
        {"role": "tool", "content": "a\nb", "tool_call_id": "c1"},
        {"role": "tool", "content": "", "tool_call_id": "c2"},
        {"role": "user", "content": "And now?"},
    ]
    alone = chat([{"type": "tool_result", "tool_use_id": "c1", "content": "a"}])
    assert turns(alone) == [{"role": "tool", "content": "a", "tool_call_id": "c1"}]


@pytest.mark.parametrize(
    ("last", "goes_on"),
    [
        ({"role": "user", "content": "a"}, None),
        ({"role": "assistant", "content": "a"}, True),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}, None),
    ],
)
def test_an_answer_that_was_begun_goes_on(last: dict[str, Any], goes_on: bool | None) -> None:
    assert chat(messages=[{"role": "user", "content": "a"}, last]).messages[-1].prefix is goes_on


@pytest.mark.parametrize(
    ("given", "choice", "parallel"),
    [
        ({}, None, True),
        ({"type": "auto"}, "auto", True),
        ({"type": "none"}, "none", True),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, "f", True),
    ],
)
def test_the_choice_of_tools_in_the_other_words(given: dict[str, Any], choice: str | None, parallel: bool) -> None:
    found = chat(tools=[TOOL], tool_choice=given or None)
    named = found.tool_choice
    assert (named if isinstance(named, str | None) else named.function.name) == choice
    assert found.parallel_tool_calls is parallel
    assert found.tools is not None
    assert found.tools[0].function.model_dump() == {
        "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True,
    }  # fmt: skip


def test_what_is_sampled_shaped_and_thought_reaches_the_chat() -> None:
    shape = {"type": "json_schema", "schema": {"type": "array"}}
    found = chat(
        temperature=0.5, top_p=0.25, top_k=7, stop_sequences=["x"], metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 9}, output_config={"format": shape},
    )  # fmt: skip
    assert (found.max_tokens, found.temperature, found.top_p, found.top_k) == (5, 0.5, 0.25, 7)
    assert (found.stop, found.user_id, found.thinks) == (["x"], "u", True)
    assert found.response_format is not None
    assert found.response_format.json_schema is not None
    assert found.response_format.json_schema.schema_ == {"type": "array"}
    plain = chat(output_format=shape, stop_sequences=[])
    assert plain.response_format == found.response_format
    assert (plain.thinks, plain.stop, plain.user_id, plain.tools) == (False, None, None, None)
    counted = as_chat_request(CountRequest.model_validate({"model": "m", "messages": found.model_dump()["messages"]}))
    assert counted.max_tokens is None


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        ([{"type": "image"}], 400, "messages: this model reads text only; found a block of type 'image'"),
        ([{"type": "text"}], 400, "messages: a block of type 'text' needs its field text"),
        ([{"type": "tool_result", "content": [{"type": "image"}]}], 400, "tool_result: this model reads text only"),
    ],
)
def test_what_is_no_text_is_refused(content: Any, status: int, says: str) -> None:
    with pytest.raises(ApiError) as refused:
        chat(content)
    assert refused.value.status == status
    assert says in str(refused.value)


def test_a_tool_that_runs_at_the_vendor_is_refused_and_so_are_too_many_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ApiError, match="'web' has no input_schema; tools that run here are not known"):
        chat(tools=[{"name": "web", "type": "web_search"}])
    monkeypatch.setattr(messages_request, "MAX_MESSAGES", 2)
    results = [{"type": "tool_result", "tool_use_id": str(n), "content": "a"} for n in range(3)]
    assert len(chat(results[:2]).messages) == 2
    with pytest.raises(ApiError, match="at most 2 turns and tool results"):
        chat(results)
