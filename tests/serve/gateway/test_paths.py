"""The paths of our own server at the gateway, and errors in the words of whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from starlette.responses import JSONResponse
from tests.serve.api.running import running
from tests.serve.gateway.put import Put, key
from tests.serve.gateway.running import answer, gateway_over

from centime.serve.api.app import create_app as create_server
from centime.serve.gateway.app import create_app as create_gateway
from centime.serve.http.paths import PATHS, paths_of

TURN = [{"role": "user", "content": "the cat sat on the mat"}]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Any, Any]]:
    """(our server's URL, a gateway's in front of it, the two applications)."""
    inner, outer = tmp_path_factory.mktemp("inner"), tmp_path_factory.mktemp("outer")
    with running(inner) as (url, serving), gateway_over(url, outer) as (own, gateway):
        yield url, own, create_server(serving), create_gateway(gateway)


def posts(app: Any) -> set[str]:
    return {path for path, item in app.openapi()["paths"].items() if "post" in item}


def test_it_has_every_path_that_our_server_has(both: tuple[str, str, Any, Any]) -> None:
    """Of each kind the first is described; all of them are there, and want a body."""
    assert posts(both[2]) <= posts(both[3]) == {paths_of(kind)[0] for kind in PATHS.values()}
    found = {path: httpx2.post(both[1] + path, json=[], timeout=30).status_code for path in PATHS}
    assert found == dict.fromkeys(PATHS, 400)


@pytest.mark.parametrize("path", [*paths_of("count_tokens"), *paths_of("tokenize")])
def test_tokens_are_counted_as_at_our_server_and_cost_nothing(both: tuple[str, str, Any, Any], path: str) -> None:
    body = {"model": "small", "messages": TURN}
    own = httpx2.post(both[1] + path, json=body, timeout=30)
    theirs = path if path != "/v1/messages/count_tokens" else "/anthropic" + path
    assert own.json() == httpx2.post(both[0] + theirs, json=body, timeout=30).json()
    assert httpx2.get(both[1] + "/metrics").text.count("centime_tokens_total{") == 0


def test_the_anthropic_client_counts(both: tuple[str, str, Any, Any]) -> None:
    for base in (both[1], both[1] + "/anthropic"):
        client = anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)
        assert client.messages.count_tokens(model="claude-x", messages=TURN).input_tokens > 5  # type: ignore[arg-type]


def test_llama_servers_words_become_vllms(put: Callable[..., Put]) -> None:
    def reply(body: dict[str, Any]) -> dict[str, Any]:
        return {"prompt": "<user>" + body["messages"][0]["content"]}

    made = put(reply, owner="llamacpp", context=None)
    made.upstream.tokens = [1, 2, 3]
    assert made.post({"messages": TURN}, "/tokenize").json() == {"tokens": [1, 2, 3], "count": 3, "max_model_len": None}
    assert made.upstream.paths == ["/apply-template"]
    assert made.upstream.asked[-1]["content"] == "<user>" + TURN[0]["content"]


def test_an_upstream_that_counts_no_conversation_is_told_so(put: Callable[..., Put]) -> None:
    made = put(JSONResponse({"detail": "Not Found"}, 404))
    response = made.post({"model": "m", "messages": TURN}, "/v1/messages/count_tokens")
    assert response.status_code == 404
    assert response.json() == {
        "type": "error",
        "error": {
            "type": "not_found_error",
            "message": "The model's server does not count the tokens of a conversation.",
        },
        "request_id": response.headers["request-id"],
    }


def test_counting_is_admitted_like_all_else(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 10, 1))
    made.upstream.count = 4
    header = key(made, per_minute=2)
    statuses = [made.post({"prompt": "a"}, "/tokenize", **header).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert made.post({"prompt": "a"}, "/tokenize").status_code == 401


@pytest.mark.parametrize("path", [path for path, kind in PATHS.items() if kind in {"messages", "count_tokens"}])
def test_errors_are_in_the_words_of_the_path(put: Callable[..., Put], path: str) -> None:
    made = put(JSONResponse({"error": {"message": "too long"}}, 400))
    header = key(made)
    asked = {"model": "m", "max_tokens": 5, "messages": TURN}
    for response, status, kind in (
        (made.post(asked, path), 401, "authentication_error"),
        (made.post(b"{", path, **header), 400, "invalid_request_error"),
        (made.post(asked, path, **header), 400, "invalid_request_error"),
        (made.client.get(path), 405, "invalid_request_error"),
    ):
        assert (response.status_code, response.json()["type"], response.json()["error"]["type"]) == (
            status,
            "error",
            kind,
        )


def test_each_model_is_found_by_its_name(both: tuple[str, str, Any, Any]) -> None:
    for base in both[:2]:
        client = openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)
        assert client.models.retrieve("small").id == "small"
        with pytest.raises(openai.NotFoundError) as refusal:
            client.models.retrieve("smaller")
        assert (refusal.value.code, refusal.value.param) == ("model_not_found", "model")


def test_head_is_answered_as_get_is(both: tuple[str, str, Any, Any]) -> None:
    for base in both[:2]:
        for path in ("/health", "/v1/models", "/", "/v1/chat/completions", "/nothing"):
            head, get = httpx2.head(base + path), httpx2.get(base + path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            assert head.headers["content-length"] == get.headers["content-length"]


WRONG: list[dict[str, Any]] = [
    {"temperature": -1}, {"stop": 5}, {"messages": [{"role": "user", "content": 5}]}, {"tool_choice": "sometimes"},
    {"response_format": {"type": "regex", "regex": "["}},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {"type": "string"}}}}},
    {"response_format": {"type": "grammar", "grammar": "root ::= root"}},
    {"tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}]},
    {"messages": [{"role": "user", "content": "a " * 9000}]}, {"logit_bias": {"99999": 1}}, {"n": 17},
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda body: str(body)[:60])
def test_what_is_wrong_is_told_behind_the_gateway_as_at_our_server(
    both: tuple[str, str, Any, Any], wrong: dict[str, Any]
) -> None:
    body = {"model": "small", "messages": TURN, **wrong}
    named = {"X-Request-Id": "the-same"}
    inner, outer = (
        httpx2.post(base + "/v1/chat/completions", json=body, timeout=60, headers=named) for base in both[:2]
    )
    assert 400 <= outer.status_code == inner.status_code < 500
    assert outer.json() == inner.json()
    error = outer.json()["error"]
    field = next(iter(wrong))
    assert str(error["param"]).startswith(field) or error["code"] == "context_length_exceeded"
