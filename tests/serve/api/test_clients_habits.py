"""What clients send because other servers take it: replayed history, numbers that mean "none", older forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, BadRequestError
from tests.serve.api.running import POSITIONS, running

from centime.serve.api.service import Service
from centime.serve.http.paths import PATHS, dialect

pytestmark = pytest.mark.slow

USER = {"role": "user", "content": "the cat sat"}
ASK: dict[str, Any] = {"model": "small", "messages": [USER], "max_tokens": 2, "temperature": 0}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
NONE = {"type": "object", "properties": {}, "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": NONE}} for name in ("f", "g")]


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module", params=["v3", "r1", "v3.1", "v3.2"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that renders chats as one of DeepSeek's families."""
    home = tmp_path_factory.mktemp("family")
    with running(home, chat_format=request.param) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
        yield client


def ask(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json={**ASK, **fields})


def error(http: httpx.Client, **fields: Any) -> tuple[int, str | None, str]:
    """(status, param, message)."""
    response = ask(http, **fields)
    found = response.json()["error"]
    return response.status_code, found["param"], found["message"]


EMPTY: list[dict[str, Any]] = [
    {},
    {"content": None},
    {"content": ""},
    {"content": []},
    {"content": None, "refusal": "no"},
    {"content": None, "refusal": None, "annotations": [], "audio": None},
    {"content": None, "audio": {"id": "audio_1"}},
    {"content": None, "tool_calls": []},
    {"content": None, "tool_calls": None, "function_call": None},
    {"content": None, "function_call": {"name": "f", "arguments": "{}"}},
    {"content": None, "function_call": {"name": "f", "arguments": "no JSON"}},
    {"reasoning_content": "hmm"},
    {"content": None, "reasoning": "hmm", "reasoning_details": [{"type": "reasoning.text", "text": "hmm"}]},
    {"content": "", "reasoning": {"effort": "low"}},
    {"content": [{"type": "refusal", "refusal": "no"}]},
    {"content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
]


@pytest.mark.parametrize("said", EMPTY, ids=json.dumps)
def test_an_assistants_turn_is_taken_as_it_is_replayed(family: httpx.Client, said: dict[str, Any]) -> None:
    taken = ask(family, messages=[USER, {"role": "assistant", **said}, USER])
    assert taken.status_code == 200, taken.text


ARGUMENTS: list[Any] = ["{}", "", None, "no JSON", '{"a": ', "[" * 1200, "5", {"a": 1}]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=[str(number) for number in range(len(ARGUMENTS))])
@pytest.mark.parametrize("result", [{"content": None}, {}, {"content": []}, {"content": "x"}], ids=json.dumps)
def test_whatever_a_model_wrote_as_arguments_is_taken_back(family: httpx.Client, arguments: Any, result: Any) -> None:
    call = {"id": None, "function": {"name": "f", "arguments": arguments}}
    turns = [{"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [call]}]
    taken = ask(family, messages=[USER, *turns, {"role": "tool", "tool_call_id": "c", **result}])
    assert taken.status_code == 200, taken.text


def test_functions_of_old_are_tools(http: httpx.Client) -> None:
    def tokens(*turns: dict[str, Any]) -> list[int]:
        found: list[int] = http.post("/tokenize", json={"messages": [USER, *turns]}).raise_for_status().json()["tokens"]
        return found

    called = {"name": "f", "arguments": '{"a": 1}'}
    old = tokens(
        {"role": "assistant", "content": None, "function_call": called},
        {"role": "function", "name": "f", "content": "42"},
    )
    new = tokens(
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": called}]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    )
    custom = {"id": "c", "type": "custom", "custom": {"name": "f", "input": '{"a": 1}'}}
    custom_turns = tokens(
        {"role": "assistant", "tool_calls": [custom]}, {"role": "tool", "tool_call_id": "c", "content": "42"}
    )
    assert old == new == custom_turns
    assert tokens({"role": "assistant", "refusal": "the dog"}) == tokens({"role": "assistant", "content": "the dog"})


@pytest.mark.parametrize("role", ["system", "user", "developer"])
def test_what_a_person_says_needs_a_content(http: httpx.Client, role: str) -> None:
    for content in ({}, {"content": None}):
        assert error(http, messages=[{"role": role, **content}]) == (
            400, "messages.0", f"messages.0: a turn of role {role} needs a content.",
        )  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        *({"max_tokens": -1}, {"max_tokens": None}, {"max_completion_tokens": -1, "max_tokens": 2}, {"top_k": -1}),
        *({"seed": -1}, {"seed": None}, {"n": None}, {"stop": ""}, {"stop": []}, {"stop": None}, {"stop": ["", "zz"]}),
        *({"temperature": None}, {"top_p": None}, {"logit_bias": None}, {"logit_bias": {}}, {"stream_options": None}),
        *({"tools": []}, {"tools": None}, {"tool_choice": None}, {"response_format": None}, {"user": None}),
        *(
            {"functions": None},
            {"function_call": None},
            {"guided_json": None},
            {"grammar": None},
            {"stop_token_ids": []},
            {"metadata": {"a": "b"}},
        ),
    ],
    ids=json.dumps,
)
def test_words_for_nothing_are_nothing(http: httpx.Client, field: dict[str, Any]) -> None:
    body = {**ASK, "stop_token_ids": list(range(64)), **field}  # so that an answer without a limit is short, too
    taken = http.post("/v1/chat/completions", json=body)
    assert taken.status_code == 200, taken.text
    if field.get("top_k") == -1 or "stop" in field:
        assert (
            taken.json()["choices"]
            == http.post("/v1/chat/completions", json={**body, **dict.fromkeys(field)}).json()["choices"]
        )


@pytest.mark.parametrize(
    ("field", "status", "param"),
    [
        ({"max_tokens": -2}, 422, "max_tokens"),
        ({"max_tokens": 0}, 422, "max_tokens"),
        ({"top_k": -2}, 422, "top_k"),
        ({"stop_token_ids": [999_999]}, 422, "stop_token_ids"),
        ({"stop_token_ids": [-1]}, 422, "stop_token_ids"),
        ({"logit_bias": {"-5": 1}}, 422, "logit_bias"),
        ({"logit_bias": {"１": 1}}, 422, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, 422, "logit_bias"),
        ({"stop": ["x" * 1025]}, 422, "stop.0"),
        ({"functions": [{"name": "f"}]}, 400, "functions"),
        ({"functions": []}, 400, "functions"),
        ({"function_call": "auto"}, 400, "function_call"),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, 400, "structured_outputs"),
        ({"guided_json": {"type": "object"}}, 400, "guided_json"),
        ({"guided_regex": "a+"}, 400, "guided_regex"),
        ({"guided_choice": ["yes", "no"]}, 400, "guided_choice"),
        ({"guided_grammar": 'root ::= "a"'}, 400, "guided_grammar"),
        ({"grammar": 'root ::= "a"'}, 400, "grammar"),
        ({"json_schema": {"type": "object"}}, 400, "json_schema"),
        ({"tools": TOOLS * 65}, 422, "tools"),
        ({"user": "u" * 513}, 422, "user"),
        ({"tool_choice": "some", "tools": TOOLS}, 422, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "h"}, "tools": TOOLS}, 422, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}, "tools": TOOLS}, 400, "tool_choice"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_named(http: httpx.Client, field: dict[str, Any], status: int, param: str) -> None:
    found = error(http, **field)
    assert found[:2] == (status, param), found


@pytest.mark.parametrize("field", ["response_format", "guided_json", "grammar"])
def test_a_text_completion_is_held_to_nothing_and_says_so(http: httpx.Client, field: str) -> None:
    refused = http.post("/v1/completions", json={"model": "m", "prompt": "a", field: {"type": "json_object"}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    assert "response_format of a chat" in refused.json()["error"]["message"]


def allowed(*names: str, mode: str = "required") -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize(
    ("choice", "callable_"),
    [
        ("any", {"f", "g"}),
        ("required", {"f", "g"}),
        ({"type": "any"}, {"f", "g"}),
        ({"type": "tool", "name": "g"}, {"g"}),
        ({"type": "function", "name": "g"}, {"g"}),
        ({"type": "function", "function": {"name": "g"}}, {"g"}),
        (allowed("g"), {"g"}),
        (allowed("f", "g"), {"f", "g"}),
        ({"type": "allowed_tools", "mode": "required", "tools": [CALL | {"function": {"name": "g"}}]}, {"g"}),
    ],
)
def test_a_tool_is_chosen_in_anybodys_words(http: httpx.Client, choice: Any, callable_: set[str]) -> None:
    answer = ask(http, tools=TOOLS, tool_choice=choice, max_tokens=400, parallel_tool_calls=False)
    assert answer.status_code == 200, answer.text
    calls = answer.json()["choices"][0]["message"]["tool_calls"]
    assert {call["function"]["name"] for call in calls} <= callable_
    assert calls


def test_tools_that_may_be_called_are_those_that_are_offered(http: httpx.Client) -> None:
    def prompt(**fields: Any) -> int:
        response = ask(http, **fields)
        assert response.status_code == 200, response.text
        tokens: int = response.json()["usage"]["prompt_tokens"]
        return tokens

    assert prompt(tools=TOOLS, tool_choice=allowed("f", mode="auto")) == prompt(tools=TOOLS[:1])
    assert prompt(tools=TOOLS, tool_choice={"type": "none"}) == prompt()
    assert prompt(tools=TOOLS, tool_choice={"type": "auto"}) == prompt(tools=TOOLS)
    assert error(http, tools=TOOLS, tool_choice=allowed("h"))[:2] == (422, "tool_choice")


def test_every_path_of_the_table_is_answered_in_its_own_words(http: httpx.Client) -> None:
    for path, kind in PATHS.items():
        response = http.post(path, json={"model": 5})
        if kind == "embeddings":
            assert response.status_code == 404
            continue
        assert response.status_code in (400, 422), path
        assert (response.json().get("type") == "error") is (dialect(path) == "anthropic"), path


@pytest.mark.parametrize("base", ["", "/anthropic"])
def test_anthropics_clients_find_their_paths_and_their_words(served: tuple[str, Service], base: str) -> None:
    url, _ = served
    client = Anthropic(base_url=url + base, api_key="none", max_retries=0)
    answer = client.messages.create(model="claude-x", max_tokens=2, messages=[{"role": "user", "content": "the cat"}])
    counted = client.messages.count_tokens(model="claude-x", messages=[{"role": "user", "content": "the cat"}])
    assert counted.input_tokens == answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    with pytest.raises(BadRequestError) as long:
        client.messages.create(model="claude-x", max_tokens=2, messages=[{"role": "user", "content": "x " * 5000}])
    body: Any = long.value.body
    assert body["error"]["type"] == "invalid_request_error"
    words = body["error"]["message"].split()
    assert words[:4] == ["prompt", "is", "too", "long:"]
    assert words[5:7] + words[8:] == ["tokens", ">", "maximum"]
    assert int(words[4]) > int(words[7]) == POSITIONS - 1


def test_a_stream_tells_its_usage_once(http: httpx.Client) -> None:
    """As clients that add chunks up need it."""
    for options in (None, {"include_usage": False}, {"include_usage": True}):
        lines = ask(http, n=2, stream=True, stream_options=options).text.splitlines()
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        told = [chunk for chunk in chunks if chunk["usage"] is not None]
        assert told == chunks[-1:], options
        assert (told[0]["choices"] == []) is bool(options and options["include_usage"])
        assert told[0]["usage"]["completion_tokens"] == 4


def test_too_deep_is_a_sentence_and_the_connection_lives(http: httpx.Client) -> None:
    for depth in (90, 101, 900, 20_000):
        deep = '{"a":' * depth + "1" + "}" * depth
        schema = f'[{{"type": "function", "function": {{"name": "f", "parameters": {deep}}}}}]'
        content = json.dumps({**ASK, "tools": "DEEP"}).replace('"DEEP"', schema)
        response = http.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == (200 if depth < 95 else 400), response.text
        assert http.get("/health").status_code == 200
