"""What an answer is held to: its shape, the tools that must be called, strict ones, or nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from centime.serve.formats.tool_calls import Json
from centime.serve.http.errors import ApiError
from centime.serve.protocol.chat_request import ChatRequest
from centime.serve.protocol.structured_output import grammar_spec_for, holding_field, offered_tools

FORMAT: Any = SimpleNamespace(calls=Json(fenced=False))
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
SHAPED = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


def body(**given: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": "a"}], **given})


def tools(*names: str, strict: bool = False) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "strict": strict}} for name in names]


def held(asked: ChatRequest) -> tuple[str, Any] | None:
    found = grammar_spec_for(asked, offered_tools(asked), FORMAT)
    if found is None:
        return None
    return found.kind, json.loads(found.text) if found.kind in ("schema", "structure") else found.text


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "text", "json_schema": SHAPED["json_schema"]}, None),
        ({"type": "json_object"}, ("schema", {"type": "object"})),
        ({"type": "json_object", "json_schema": SHAPED["json_schema"]}, ("schema", {"type": "object"})),
        (SHAPED, ("schema", SCHEMA)),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, ("schema", {"type": "object"})),
        ({"type": "regex", "regex": "a+", "grammar": "x"}, ("regex", "a+")),
        ({"type": "grammar", "grammar": 'root ::= "a"', "regex": "x"}, ("ebnf", 'root ::= "a"')),
    ],
)
def test_a_shape_by_itself(shape: dict[str, Any] | None, expected: tuple[str, Any] | None) -> None:
    assert held(body(response_format=shape)) == expected
    assert held(body(response_format=shape, tools=tools("f"), tool_choice="none")) == expected


def test_a_shape_beside_tools_is_one_of_two() -> None:
    calls = FORMAT.calls.grammar(offered_tools(body(tools=tools("f"))), parallel=True)
    shapes = (
        (SHAPED, {"type": "json_schema", "json_schema": SCHEMA}),
        ({"type": "regex", "regex": "a+"}, {"type": "regex", "pattern": "a+"}),
        ({"type": "grammar", "grammar": "g"}, {"type": "grammar", "grammar": "g"}),
    )
    for shape, inside in shapes:
        asked = body(response_format=shape, tools=tools("f"))
        assert held(asked) == ("structure", {"type": "or", "elements": [calls, inside]})
        assert holding_field(asked, offered_tools(asked)) is None


def test_tools_that_must_be_called_and_strict_ones() -> None:
    assert held(body(tools=tools("f", "g"))) is None
    required = held(body(tools=tools("f", "g"), tool_choice="required", parallel_tool_calls=False))
    named = held(body(tools=tools("f", "g"), tool_choice={"type": "function", "function": {"name": "g"}}))
    strict = held(body(tools=tools("f", strict=True)))
    assert required is not None
    assert named is not None
    assert strict is not None
    assert '"stop_after_first": true' in json.dumps(required)
    assert '"function": "f"' in json.dumps(required)
    assert '"function": "f"' not in json.dumps(named)
    assert (strict[1]["type"], strict[1]["triggers"]) == ("triggered_tags", [FORMAT.calls.opens])
    asked = body(response_format=SHAPED, tools=tools("f"), tool_choice="required")
    assert holding_field(asked, offered_tools(asked)) == "tools"
    assert [holding_field(one, []) for one in (body(response_format=SHAPED), body())] == ["response_format", "tools"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tool_choice": "required"}, "tool_choice is 'required' and there are no tools"),
        (
            {"tools": tools("f"), "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice names 'g'",
        ),
    ],
)
def test_a_choice_without_its_tool_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ApiError, match=says) as refused:
        offered_tools(body(**given))
    assert (refused.value.status, refused.value.param) == (422, "tool_choice")
