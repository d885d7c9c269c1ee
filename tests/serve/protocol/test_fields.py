"""Fields of a body: the description says the ranges that are held, and what is given reaches the engine."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from centime.serve.api.information import TokenizeRequest
from centime.serve.engine.request import SamplingParams
from centime.serve.http.errors import ApiError
from centime.serve.protocol.chat_request import ChatRequest
from centime.serve.protocol.completion_request import CompletionRequest
from centime.serve.protocol.fields import of_each
from centime.serve.protocol.messages_request import MessagesRequest

TURNS = [{"role": "user", "content": "a"}]
BODIES: dict[type[BaseModel], dict[str, Any]] = {
    ChatRequest: {"model": "m", "messages": TURNS},
    CompletionRequest: {"model": "m", "prompt": "a"},
    MessagesRequest: {"model": "m", "messages": TURNS, "max_tokens": 1},
    TokenizeRequest: {"prompt": "a"},
}
STEP = {"integer": 1, "number": 1e-6}


def edges(field: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """(values at the edges of a field that its description allows, values just beyond)."""
    inside: list[Any] = []
    beyond: list[Any] = []
    shapes = [shape for shape in field.get("anyOf", [field]) if shape.get("type") in STEP]
    others = [shape["const"] for shape in field.get("anyOf", []) if "const" in shape]
    for shape in shapes:
        step = STEP[shape["type"]]
        for name, out in (("minimum", -step), ("maximum", step)):
            if name in shape:
                inside.append(shape[name])
                beyond.append(shape[name] + out * max(1, abs(shape[name]) if step < 1 else 1))
        for name, out in (("exclusiveMinimum", -step), ("exclusiveMaximum", step)):
            if name in shape:
                inside.append(shape[name] - out)
                beyond.append(shape[name])
    return inside + others, [value for value in beyond if value not in others]


RANGED = [
    (body, name, *edges(field))
    for body in BODIES
    for name, field in body.model_json_schema(mode="validation")["properties"].items()
    if edges(field)[0]
]


def takes(body: type[BaseModel], name: str, value: Any) -> bool:
    try:
        body.model_validate({**BODIES[body], name: value})
    except ValidationError as error:
        return name not in {problem["loc"][0] for problem in error.errors()}
    return True


@pytest.mark.parametrize(
    ("body", "name", "inside", "beyond"), RANGED, ids=lambda one: getattr(one, "__name__", str(one))
)
def test_the_ranges_of_the_description_are_those_that_are_held(
    body: type[BaseModel], name: str, inside: list[Any], beyond: list[Any]
) -> None:
    assert [value for value in inside if not takes(body, name, value)] == []
    assert [value for value in beyond if takes(body, name, value) and (name, value) != ("max_tokens", -1)] == []


def test_many_fields_have_a_range() -> None:
    assert {name for _, name, *_ in RANGED} >= {"temperature", "top_p", "top_k", "max_tokens", "n", "min_p"}


def params(**given: Any) -> SamplingParams:
    return ChatRequest.model_validate({**BODIES[ChatRequest], **given}).params(300, logprobs=None)


@pytest.mark.parametrize("token", [0, 1, 299])
def test_a_token_of_the_vocabulary_is_taken(token: int) -> None:
    assert params(logit_bias={str(token): 1.5}, stop_token_ids=[token]).logit_bias == {token: 1.5}
    assert params(stop_token_ids=[token, 5]).stop_token_ids == (token, 5)


@pytest.mark.parametrize("token", ["-1", "300", "x", "", "\u0663", "1.0", "9" * 25, "+1", " 1"])
def test_what_is_no_token_is_refused_by_its_field(token: str) -> None:
    with pytest.raises(ApiError, match=r"logit_bias: found .*, expected a token id from 0 to 299") as refused:
        params(logit_bias={token: 1})
    assert (refused.value.status, refused.value.param) == (422, "logit_bias")
    if token in ("-1", "300"):
        with pytest.raises(ApiError, match=f"stop_token_ids: found {token}, expected a token id from 0 to 299"):
            params(stop_token_ids=[5, int(token)])


def test_what_is_given_reaches_the_engine_and_what_is_not_stays_as_it_is() -> None:
    given: dict[str, Any] = {
        "temperature": 0.5, "top_p": 0.75, "top_k": 7, "min_p": 0.25, "frequency_penalty": -1.0,
        "presence_penalty": 1.5, "seed": 11, "ignore_eos": True, "repetition_penalty": 1.25, "max_tokens": 9,
    }  # fmt: skip
    found = params(**given, stop=["x", "", "yz"])
    assert {name: getattr(found, name) for name in given} == given
    assert found.stop == ("x", "yz")
    assert params() == params(temperature=None, stop=None, logit_bias=None) == SamplingParams(2**31)
    assert params(max_tokens=-1, top_k=-1, seed=-1) == SamplingParams(2**31)


def test_each_choice_has_a_seed_of_its_own() -> None:
    seeded = of_each(SamplingParams(4, seed=7), 3)
    assert [one.seed for one in seeded] == [7, 8, 9]
    assert of_each(SamplingParams(4), 3) == [SamplingParams(4)] * 3
