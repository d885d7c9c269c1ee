"""A chat's body: turns as clients replay them, tools in several APIs' words, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from centime.serve.http.errors import ApiError
from centime.serve.protocol.chat_request import MAX_TOOLS, ChatRequest, Message, ResponseFormat

NAMED = {"type": "function", "function": {"name": "f"}}


def body(**given: Any) -> ChatRequest:
    turns = [{"role": "user", "content": "a"}]
    return ChatRequest.model_validate({"model": "m", "messages": turns, **given})


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def call(name: str, arguments: str, id: str = "") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        ({"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "user", "content": ["x"][:0]}, {"role": "user", "content": ""}),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "user", "content": "ab"},
        ),
        ({"role": "function", "name": "f", "content": "1"}, {"role": "tool", "content": "1"}),
        ({"role": "tool", "tool_call_id": "c", "content": None}, {"role": "tool", "content": "", "tool_call_id": "c"}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "refusal": "no"}, {"role": "assistant", "content": "no"}),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "reasoning": "t"},
            {"role": "assistant", "content": "no", "reasoning_content": "t"},
        ),
        (
            {"role": "assistant", "content": "a", "reasoning": "t", "reasoning_content": ""},
            {"role": "assistant", "content": "a", "reasoning_content": ""},
        ),
        (
            {"role": "assistant", "function_call": {"name": "f", "arguments": {"é": 1}}},
            {"role": "assistant", "content": "", "tool_calls": [call("f", '{"é": 1}')]},
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c", "function": {"name": "f", "arguments": None}},
                    {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}},
                ],
                "function_call": {"name": "old"},
            },
            {"role": "assistant", "content": "", "tool_calls": [call("f", "", "c"), call("g", "x", "d")]},
        ),
    ],
)
def test_a_turn_is_taken_as_clients_replay_it(message: dict[str, Any], turn: dict[str, Any]) -> None:
    assert Message.model_validate(message).turn() == turn


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "user"}, "a turn of role user needs a content"),
        ({"role": "system", "content": None}, "a turn of role system needs a content"),
        ({"role": "user", "content": 5}, "expected a string, or a list of text parts"),
        ({"role": "user", "content": [{"type": "text"}]}, "needs its field text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "this model reads text only; found a part of type"),
        ({"role": "user", "content": ["a"]}, "this model reads text only; found"),
    ],
)
def test_a_turn_that_says_nothing_or_no_text_is_refused(message: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Message.model_validate(message)


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ("any", "required"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ("none", "none"),
        (NAMED, "f"),
        ({"type": "tool", "name": "f"}, "f"),
        ({"type": "function", "name": "f"}, "f"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [NAMED]}, "auto"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}, "required"),
    ],
)
def test_a_choice_of_tools_in_several_words(choice: Any, taken: str) -> None:
    found = body(tools=tools("f", "g"), tool_choice=choice)
    assert found.tool_choice is not None
    assert (found.tool_choice if isinstance(found.tool_choice, str) else found.tool_choice.function.name) == taken
    offered = [tool.function.name for tool in found.tools or ()]
    assert offered == (["f"] if "allowed_tools" in str(choice) else ["f", "g"])


@pytest.mark.parametrize("choice", ["sometimes", 5, {"type": "tool"}, {"type": "other"}, {"type": ["tool"]}, []])
def test_what_is_no_choice_is_refused(choice: Any) -> None:
    with pytest.raises(ValidationError, match="tool_choice"):
        body(tools=tools("f"), tool_choice=choice)


def test_a_tool_that_is_allowed_is_among_the_tools() -> None:
    for given in (tools("f"), None):
        with pytest.raises(ApiError, match="tool_choice allows 'g', which is not among the tools") as refused:
            body(tools=given, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": tools("h", "g")})
        assert (refused.value.status, refused.value.param) == (422, "tool_choice")


@pytest.mark.parametrize("name", ["a" * 64, "A.b_c-9"])
def test_tools_have_names_and_are_not_too_many(name: str) -> None:
    assert len(body(tools=tools(*[name] * MAX_TOOLS)).tools or ()) == MAX_TOOLS == 128
    for refused in (tools(*[name] * (MAX_TOOLS + 1)), tools(f"{name}!"), tools("a" * 65), tools("")):
        with pytest.raises(ValidationError):
            body(tools=refused)


def test_a_shape_comes_with_what_it_needs() -> None:
    for kind, needs in (("json_schema", {"json_schema": {"schema": {}}}), ("regex", {"regex": ""})):
        assert ResponseFormat.model_validate({"type": kind, **needs}).type == kind
        with pytest.raises(ValidationError, match=f"the type {kind} needs a field {kind}"):
            ResponseFormat.model_validate({"type": kind, "grammar": "x"})
    assert ResponseFormat.model_validate({"type": "json_object"}).regex is None


def test_logprobs_and_thinking() -> None:
    reported = [{}, {"top_logprobs": 3}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 3}]
    assert [body(**given).reported_logprobs for given in reported] == [None, None, 0, 3]
    asked = [{}, {"reasoning_effort": "none"}, {"reasoning_effort": "low"}, {"thinking": {"type": "disabled"}}]
    assert [body(**given).thinks for given in asked] == [True, False, True, False]
    assert body(thinking={"type": "auto"}, reasoning_effort="none").thinks
    assert [body(user="u").isolation, body(user="u", user_id="v").isolation, body().isolation] == ["u", "v", ""]


@pytest.mark.parametrize("field", ["functions", "function_call", "guided_json", "grammar", "structured_outputs"])
def test_a_field_that_would_change_the_answer_is_refused(field: str) -> None:
    assert getattr(body(**{field: None}), field) is None
    with pytest.raises(ValidationError, match="not taken here; "):
        body(**{field: {}})
