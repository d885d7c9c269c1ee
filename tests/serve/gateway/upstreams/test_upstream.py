"""What an upstream says of itself and how it refuses, in whatever words: told rightly, or not at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.loops import run_apart
from tests.serve.gateway.running import serving

from centime.errors import UserError
from centime.serve.gateway.upstreams.upstream import Facts, Upstream, refused
from centime.serve.http.errors import ApiError


def answered(path: str, reply: Response, other: Any = None) -> Facts:
    """The facts of a server that answers so at one path, and with `other` at /props."""
    told: dict[str, Response] = {path: reply, "/props": JSONResponse(other)}

    async def get(request: Request) -> Response:
        return told.get(request.url.path, Response(status_code=404))

    async def ask(url: str) -> Facts:
        upstream = Upstream(url)
        try:
            return await upstream.facts()
        finally:
            await upstream.close()

    with serving(Starlette(routes=[Route("/{path:path}", get)])) as url:
        return run_apart(ask(url))


@pytest.mark.parametrize(
    ("models", "props", "facts"),
    [
        ([], None, Facts("", (), None)),
        ([{"id": "a"}], None, Facts("", ("a",), None)),
        (
            [{"id": "a", "owned_by": "vllm", "max_model_len": 512}, {"id": "b", "max_model_len": 4096}],
            None,
            Facts("vllm", ("a", "b"), 4096),
        ),
        ([{"id": "a", "owned_by": "x", "context_window": 9}, {"id": "b"}], None, Facts("x", ("a", "b"), 9)),
        ([{"id": "a", "max_model_len": "512"}, {"id": "b", "max_model_len": -1}], None, Facts("", ("a", "b"), None)),
        (
            [{"id": "a", "owned_by": "llamacpp", "max_model_len": 7}],
            {"default_generation_settings": {"n_ctx": 2048}},
            Facts("llamacpp", ("a",), 2048),
        ),
        ([{"id": "a", "owned_by": "llamacpp"}], {"default_generation_settings": 1}, Facts("llamacpp", ("a",), None)),
    ],
)
def test_what_it_says_of_itself(models: list[dict[str, Any]], props: Any, facts: Facts) -> None:
    assert answered("/v1/models", JSONResponse({"data": models}), props) == facts


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Response(status_code=401), "answered 401; give its key with --upstream-key"),
        (Response(status_code=500), r"answered 500\.$"),
        (Response("hello"), "is no list of models"),
        (JSONResponse([]), "is no list of models"),
        (JSONResponse({"data": [1]}), "is no list of models"),
        (JSONResponse({"data": [{}]}), "is no list of models"),
    ],
)
def test_what_is_no_server_with_such_an_api(reply: Response, said: str) -> None:
    with pytest.raises(UserError, match=said):
        answered("/v1/models", reply)


INVALID = "invalid_request_error"
SAID = "The model's server answered"
OWN = {"error": {"message": "too long", "code": "context", "param": "messages"}}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, OWN, (400, "too long", "context", "messages")),
        (404, {"error": "no model"}, (404, "no model", INVALID, None)),
        (422, {"message": "wrong"}, (422, "wrong", INVALID, None)),
        (429, {"error": {"message": "", "code": 429, "param": ["x"]}}, (429, f"{SAID} 429.", INVALID, None)),
        (500, [1], (500, f"{SAID} 500.", "server_error", None)),
        (599, None, (599, f"{SAID} 599.", "server_error", None)),
        (401, OWN, (503, "The model's server refuses the gateway: its key is wrong.", "upstream_refused", None)),
        (403, OWN, (503, "The model's server refuses the gateway: its key is wrong.", "upstream_refused", None)),
        (402, OWN, (503, "The model's server refuses the gateway: its key has no money.", "upstream_refused", None)),
        *(
            (status, OWN, (503, f"{SAID} with the status {status}, which is no answer.", "upstream_failed", None))
            for status in (204, 302, 399, 600, 999)
        ),
    ],
)  # fmt: skip
def test_a_refusal_keeps_its_status_and_its_words(status: int, body: Any, told: tuple[Any, ...]) -> None:
    raw = b"<html>" if body is None else json.dumps(body).encode()
    error = refused(httpx2.Response(status), raw)
    assert (error.status, error.message, error.code, error.param) == told


@pytest.mark.parametrize(
    ("wait", "seconds"), [("7", 7), ("0", 0), ("999999", 999999), ("1000000", None), ("-1", None), ("soon", None)]
)
def test_how_long_to_wait_is_passed_on(wait: str, seconds: int | None) -> None:
    assert refused(httpx2.Response(429, headers={"retry-after": wait}), b"").retry_after == seconds
    assert refused(httpx2.Response(429), b"").retry_after is None


@pytest.mark.parametrize(("answers", "asked"), [(1, 3), (0, 2)])
def test_a_connection_that_is_closed_as_it_is_used_again_is_asked_once_more(answers: int, asked: int) -> None:
    """The server answers so many requests of a connection, and reads one more that it closes without a word."""
    seen: list[int] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(answers + 1):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
            seen.append(number)
            if number < answers:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def ask() -> list[int]:
        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            codes = []
            for _ in range(2 if answers else 1):
                answer = await upstream.send("chat", {}, Facts("", ("m",), None))
                await answer.aread()
                codes.append(answer.status_code)
            return codes
        finally:
            await upstream.close()
            server.close()

    if answers:
        assert run_apart(ask()) == [200, 200]
    else:
        with pytest.raises(ApiError, match="cannot be reached"):
            run_apart(ask())
    assert len(seen) == asked
