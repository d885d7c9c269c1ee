"""Gateways and upstreams on free ports, in threads of the test's process. `Scripted` behaves as a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.loops import run_apart

from centime.catalogue.prices import price_given
from centime.catalogue.tariffs import tariff_for
from centime.serve.accounts import Accounts
from centime.serve.gateway.app import create_app
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.gateway.upstreams.pool import Pool, single
from centime.serve.gateway.upstreams.upstream import Upstream
from centime.serve.http.responses import new_id
from centime.serve.http.server import bind, url_of
from centime.serve.telemetry.exchange import Observer
from centime.serve.telemetry.outermost import Outermost

PRICES = "1,2,3"  # dollars per million tokens: hit, miss, output


class _Prompt(uvicorn.Server):
    """Looks every hundredth of a second whether it is to end, where uvicorn looks every tenth: tests wait."""

    async def main_loop(self) -> None:
        await self.on_tick(0)  # dates what it answers
        while not self.should_exit:
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """The URL of an application, until the block ends."""
    listening = bind("127.0.0.1", 0)
    server = _Prompt(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        for _ in range(3000):
            if server.started:
                break
            time.sleep(0.01)
        assert server.started, "the server did not start"
        yield url_of(listening)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"


@contextlib.contextmanager
def gateway_over(
    url: str,
    home: Path,
    *,
    patience: float = 10.0,
    prices: str | None = PRICES,
    key: str | None = None,
    shared: bool = False,
    observers: Sequence[Observer] = (),
) -> Iterator[tuple[str, Gateway]]:
    """A gateway in front of `url`, and its own URL; its ledger is in `home`, or what CENTIME_LEDGER names (shared)."""

    async def ask() -> Any:
        upstream = Upstream(url, key)
        try:
            return await upstream.facts()
        finally:
            await upstream.close()

    tariff = tariff_for(prices) if prices else None
    ledger = None if shared else home / "ledger.sqlite"
    accounts = Accounts(ledger, run="m", tariff=tariff, price=price_given("$3.6/h"))
    backend = Backend(name="m", upstream=Upstream(url, key), facts=run_apart(ask()))
    pool = Pool(single(backend), accounts=accounts)
    gateway = Gateway(pool=pool, accounts=accounts, patience=patience, observers=observers)
    app = Outermost(create_app(gateway), lambda: new_id("req_"), lambda: observers)
    try:
        with serving(app) as own:
            yield own, gateway
    finally:
        accounts.close()


class Scripted:
    """An upstream that answers every POST with `answer(body)`: a dict (a body), or a list of stream chunks, where a
    number is a pause in seconds, bytes go out as they are, and an exception breaks the connection."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any], *, owner: str = "vllm", context: int | None = 1000):
        self.answer, self.owner, self.context = answer, owner, context
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.left = threading.Event()  # a client went before the end
        self.count: int | str | None = None  # what /tokenize tells; "words": those of the text
        self.tokens: list[int] | None = None  # likewise, in llama-server's words
        self.asked: list[dict[str, Any]] = []  # of /tokenize
        routes = [Route("/v1/models", self._models), Route("/tokenize", self._tokenize, methods=["POST"])]
        self.app = Starlette(routes=[*routes, Route("/{path:path}", self._post, methods=["POST"])])

    async def _models(self, request: Request) -> Response:
        model: dict[str, Any] = {"id": "org/m", "object": "model", "owned_by": self.owner}
        if self.context is not None:
            model["max_model_len"] = self.context
        return JSONResponse({"object": "list", "data": [model]})

    async def _tokenize(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if self.tokens is not None:
            return JSONResponse({"tokens": self.tokens})
        if self.count == "words":
            text = body["prompt"] if "prompt" in body else " ".join(turn["content"] for turn in body["messages"])
            return JSONResponse({"count": len(text.split())})
        return JSONResponse({"count": self.count}) if self.count is not None else JSONResponse({}, 404)

    async def _post(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.paths.append(request.url.path)
        self.headers.append(dict(request.headers))
        found = self.answer(body)
        if isinstance(found, Awaitable):
            found = await found
        if isinstance(found, Response):
            return found
        if isinstance(found, dict):
            return JSONResponse(found)
        return StreamingResponse(self._stream(found), media_type="text/event-stream")

    async def _stream(self, chunks: list[Any]) -> AsyncIterator[bytes]:
        done = False
        try:
            for chunk in chunks:
                if isinstance(chunk, int | float):
                    await asyncio.sleep(chunk)
                elif isinstance(chunk, Exception):
                    raise chunk
                else:
                    yield chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode() + b"\n\n"
            done = True
        finally:
            if not done:
                self.left.set()


def chunk(text: str = "", finish: str | None = None, usage: Any = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat's stream."""
    delta = {"content": text} if text else {}
    found = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "org/m",
             "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}  # fmt: skip
    return found if usage is None else found | {"usage": usage}


def usage_chunk(prompt: int, output: int, cached: int = 0) -> dict[str, Any]:
    """The chunk after the last, with the usage alone."""
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "org/m", "choices": [],
            "usage": usage(prompt, output, cached)}  # fmt: skip


def usage(prompt: int, output: int, cached: int = 0) -> dict[str, Any]:
    """As vLLM and SGLang tell it."""
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached} if cached else None}  # fmt: skip


def answer(text: str, prompt: int, output: int, cached: int = 0) -> dict[str, Any]:
    """A chat's whole body."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "org/m",
            "usage": usage(prompt, output, cached), "choices": [choice]}  # fmt: skip


DONE = b"data: [DONE]\n\n"
