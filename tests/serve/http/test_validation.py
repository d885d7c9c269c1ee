"""What is wrong with a body is told in the body's own words: its fields, what was found there, what was expected."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from centime.serve.api.information import TokenizeRequest
from centime.serve.http.errors import ApiError
from centime.serve.http.validation import Misfit, misfit
from centime.serve.protocol.chat_request import ChatRequest
from centime.serve.protocol.completion_request import CompletionRequest
from centime.serve.protocol.messages_request import CountRequest, MessagesRequest
from centime.serve.wording import in_words, plain

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
NAMED = {"type": "function", "function": {"name": "f"}}
TURNS: list[Any] = [
    {"role": "user", "content": "a", "name": "n"},
    {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {
        "role": "assistant",
        "content": "b",
        "refusal": "no",
        "tool_calls": [CALL],
        "function_call": {"name": "f", "arguments": "{}"},
        "reasoning_content": "r",
        "reasoning": "r",
        "prefix": False,
    },
    {"role": "tool", "content": "c", "tool_call_id": "1"},
]
SAMPLED: dict[str, Any] = {
    "model": "m", "max_tokens": 1, "temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0,
    "seed": 1, "stop": ["x"], "logit_bias": {"5": 1.5}, "n": 1, "stream": False,
    "stream_options": {"include_usage": True}, "user": "u", "user_id": "u", "top_k": 1, "min_p": 0.5,
    "repetition_penalty": 1, "stop_token_ids": [1], "ignore_eos": False,
    **dict.fromkeys(("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")),
    **dict.fromkeys(("grammar", "json_schema")),
}  # fmt: skip
CHAT = {
    **SAMPLED,
    "messages": TURNS,
    "max_completion_tokens": 1,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
    "parallel_tool_calls": True,
    "functions": None,
    "function_call": None,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "s", "description": "d", "schema": {"type": "object"}, "strict": True},
        "regex": None,
        "grammar": None,
    },
    "logprobs": True,
    "top_logprobs": 1,
    "thinking": {"type": "enabled"},
    "reasoning_effort": "none",
}
THEIRS: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t"},
                {"type": "text", "text": "t"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "t"}]},
                {"type": "tool_result", "tool_use_id": "1", "content": "t", "is_error": True},
            ],
        },
    ],
    "system": [{"type": "text", "text": "s"}],
    "tools": [{"name": "f", "type": "custom", "description": "d", "input_schema": {"type": "object"}, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1},
    "output_config": {"format": {"type": "json_schema", "schema": {}}, "effort": "low"},
    "output_format": {"type": "json_schema", "schema": {}},
}
BODIES: list[tuple[Any, dict[str, Any]]] = [
    (ChatRequest, CHAT),
    (ChatRequest, {**CHAT, "tool_choice": NAMED, "stop": "x"}),
    (CompletionRequest, {**SAMPLED, "prompt": ["a"], "suffix": "b", "echo": False, "logprobs": 1, "best_of": 1}),
    (CompletionRequest, {**SAMPLED, "prompt_logprobs": 1, "response_format": None}),
    (CompletionRequest, {**SAMPLED, "prompt": [1, 2]}),
    (CountRequest, THEIRS),
    (
        MessagesRequest,
        {
            **THEIRS, "max_tokens": 1, "stop_sequences": ["x"], "stream": False, "temperature": 1, "top_p": 1,
            "top_k": 1, "metadata": {"user_id": "u"},
        },
    ),
    (TokenizeRequest, {"model": "m", "prompt": "a", "add_special_tokens": True}),
    (TokenizeRequest, {"messages": TURNS}),
]  # fmt: skip

# No word of pydantic's, no name of a branch or of a class of ours.
FOREIGN = re.compile(
    r"literal\[|function-|Input should|constrained|lax-or|dictionary|instance|\bstr\b|\bint\b|\bdict\b|\bbool\b"
    r"|\bNone\b|list\[|tagged|union|validat|Message\b|NamedTool|AllowedTools|Block\b|Part\b|\bIds\b|another value",
)
WRONG: list[Any] = [
    *(None, True, 0, -5, 1.5, 10**30, 2.0**70, float("inf"), "", "x", "x" * 5000, "\ud800", "a\nb\x1b[31m\u202e"),
    *([], {}, [5], ["a", 5], [5, "a"], [[["x"]]], [None], {"str": 1}, {"type": "x"}, {"type": "function"}),
    *({"type": "allowed_tools"}, {"\x1b[31m\n": 1}, {"model": {}}, [{"role": "x"}], [{"type": []}], ["x"] * 200),
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path in a JSON value, its own first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, one in inner:
        yield from places(one, (*path, part))


def put(body: Any, path: tuple[str | int, ...], value: Any, *, absent: bool = False) -> Any:
    """The body with another value at a path, or none."""
    if not path:
        return value
    body = copy.deepcopy(body)
    at = body
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    if absent:
        del at[path[-1]]
    return body


def told(model: Any, body: Any) -> Misfit | ApiError | None:
    """What a client of this body is told, None when there is nothing."""
    try:
        TypeAdapter(model).validate_python(body)
    except ValidationError as error:
        return misfit([{**one, "loc": ("body", *one["loc"])} for one in error.errors()], body)
    except ApiError as error:
        return error
    return None


@functools.cache
def words(model: Any) -> set[str]:
    """All names of fields in a model's description."""
    schema = model.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    return {name for one in objects for name in one.get("properties", {})}


def test_the_examples_have_every_field_of_every_body() -> None:
    for model in {model for model, _ in BODIES}:
        tried = {part for one, body in BODIES if one is model for path in places(body) for part in path}
        assert words(model) - tried == set(), model
    for model, body in BODIES:
        assert told(model, body) is None, model


def check(model: Any, body: Any) -> None:
    error = told(model, body)
    if error is None:
        return
    assert error.status in (400, 422)
    assert not FOREIGN.search(error.message), error.message
    assert error.message.endswith(".")
    assert plain(error.message) == error.message, error.message
    known = words(model) | {str(part) for path in places(body) for part in path}
    for part in (error.param or "").split("."):
        assert part.isdigit() or not part or part in known or not part.isidentifier(), (error.param, error.message)
    assert plain(error.param or "") == (error.param or "")


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_whatever_is_wrong_is_named_as_the_client_wrote_it(number: int) -> None:
    model, body = BODIES[number]
    for path in places(body):
        for wrong in WRONG:
            check(model, put(body, path, wrong))
        if path:
            check(model, put(body, path, None, absent=True))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just("type"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_anything_anywhere(data: st.DataObject) -> None:
    model, body = data.draw(st.sampled_from(BODIES))
    path = data.draw(st.sampled_from(sorted(places(body), key=str)))
    check(model, put(body, path, data.draw(anything)))


CHOICES = "expected 'none', 'auto', 'required', or an object whose type is 'function' or 'allowed_tools'"


@pytest.mark.parametrize(
    ("model", "field", "value", "param", "message"),
    [
        (ChatRequest, "temperature", "hot", "temperature", "temperature: found 'hot', expected a number."),
        (ChatRequest, "temperature", 3, "temperature", "temperature: found 3, expected a number of at most 2."),
        (ChatRequest, "model", None, "model", "model: found null, expected a string."),
        (ChatRequest, "stop", 5, "stop", "stop: found 5, expected a string, or a list of strings."),
        (ChatRequest, "tool_choice", {"type": "function"}, "tool_choice.function", "tool_choice.function is missing."),
        (
            ChatRequest,
            "messages",
            [{"role": "user", "content": [{"type": "text"}]}],
            "messages.0.content",
            "messages.0.content: a part of type 'text' needs its field text.",
        ),
        (ChatRequest, "stop", ["a"] * 17, "stop", "stop: found a list of 17, expected at most 16."),
        (
            ChatRequest, "stop", "a" * 2000, "stop",
            "stop: found a string of 2,000 characters, expected at most 1,024 characters.",
        ),
        (
            ChatRequest, "tool_choice", "maybe", "tool_choice",
            "tool_choice: found 'maybe', expected one of 'none', 'auto' or 'required'.",
        ),
        (ChatRequest, "tool_choice", 5, "tool_choice", f"tool_choice: {CHOICES}."),
        (
            ChatRequest, "tool_choice", {"type": "function", "function": {}}, "tool_choice.function.name",
            "tool_choice.function.name is missing.",
        ),
        (
            ChatRequest, "messages", [{"role": "wizard"}], "messages.0.role",
            "messages.0.role: found 'wizard', expected one of 'system', 'developer', 'user', 'assistant', 'tool' or "
            "'function'.",
        ),
        (
            ChatRequest, "messages", [{"role": "user", "content": {"a": 1}}], "messages.0.content",
            "messages.0.content: found an object, expected a string, or a list of text parts.",
        ),
        (ChatRequest, "messages", [{"role": "user"}], "messages.0", "messages.0: a turn of role user needs a content."),
        (CountRequest, "system", 5, "system", "system: found 5, expected a string or a list."),
        (CountRequest, "system", [5], "system.0", "system.0: found 5, expected an object."),
    ],
)  # fmt: skip
def test_the_sentences(model: Any, field: str, value: Any, param: str, message: str) -> None:
    base = next(body for one, body in BODIES if one is model)
    error = told(model, {**base, field: value})
    assert error is not None
    assert (error.param, error.message) == (param, message)


def test_the_branch_that_reads_furthest_is_the_one_that_was_meant() -> None:
    def param(value: Any) -> str:
        error = told(list[int] | list[str] | str, value)
        assert error is not None
        return f"{error.param}: {error.message.rpartition('expected ')[2]}"

    assert param(["a", "b", 5]) == "2: a string."
    assert param([1, 2, "a"]) == "2: a whole number."
    assert param({"str": 1}) == "None: a list or a string."


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs"])))
@example("\x9b31m\u2028\r\n\u202e\x00\x7f")
def test_a_clients_text_is_one_short_line(text: str) -> None:
    for shown in (plain(text), in_words(text), ApiError(400, f"No {text}").message):
        assert shown.isprintable()
    assert len(in_words(text * 50)) <= 100
    assert len(plain(text * 2000)) <= 10 * 1000


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_is_shown_up_to_twenty_digits(sign: int) -> None:
    assert in_words(sign * (10**20 - 1)) == str(sign * (10**20 - 1))
    assert in_words(sign * 10**20) == "a number of more than 20 digits"
