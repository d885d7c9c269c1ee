"""Clients that connect and ask for nothing: their sockets end, and others are served meanwhile. All on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.loops import run_apart

from centime.serve.http import connections
from centime.serve.http.connections import Connections, most_connections
from centime.serve.http.server import Server, bind

WHOLE = b"GET /quick HTTP/1.1\r\nhost: localhost\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True, params=["h11_impl.H11Protocol", "httptools_impl.HttpToolsProtocol"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of uvicorn's two is installed; it takes the second where it can."""
    module, _, name = request.param.partition(".")
    found = pytest.importorskip(f"uvicorn.protocols.http.{module}", exc_type=ImportError)
    monkeypatch.setattr(connections, "AutoHTTPProtocol", getattr(found, name))


class Served:
    """A server with two answers: /quick at once, /slow when `go` is set; `began` counts those."""

    def __init__(self, port: int) -> None:
        self.port, self.go, self.began = port, asyncio.Event(), asyncio.Semaphore(0)

    async def connect(self, sent: bytes = b"") -> Pair:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    async def quick(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("quick")

    async def slow(self, _: Request) -> PlainTextResponse:
        self.began.release()
        await self.go.wait()
        return PlainTextResponse("slow")


@contextlib.asynccontextmanager
async def serving(limits: Connections) -> AsyncIterator[Served]:
    listening = bind("127.0.0.1", 0)
    served, ready = Served(listening.getsockname()[1]), asyncio.Event()
    app = Starlette(routes=[Route("/quick", served.quick), Route("/slow", served.slow)])
    state: Any = SimpleNamespace(draining=False, observers=(), calls=(), settled=partial(asyncio.sleep, 0))
    server = Server(app, state, ready.set, limits)
    server.config.lifespan = "off"
    task = asyncio.create_task(server._serve([listening]))
    await ready.wait()
    try:
        yield served
    finally:
        served.go.set()
        server.should_exit = server.force_exit = True
        await task


async def answer(pair: Pair) -> bytes:
    """The body of one answer."""
    head = await pair[0].readuntil(b"\r\n\r\n")
    [length] = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return await pair[0].readexactly(int(length))


async def ended(pair: Pair) -> bytes:
    """What came until the server closed it."""
    with contextlib.suppress(ConnectionResetError):
        return await pair[0].read()
    return b""


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("sent", [b"G", b"GET /quick HTTP/1.1\r\nhost:"])
def test_who_does_not_end_a_head_is_let_go(before: int, sent: bytes) -> None:
    async def run() -> None:
        async with serving(Connections(head_seconds=0.05)) as served:
            pair = await served.connect()
            for _ in range(before):
                pair[1].write(WHOLE)
                assert await answer(pair) == b"quick"
            pair[1].write(sent)
            assert await ended(pair) == b""

    run_apart(run())


def test_who_sends_nothing_is_let_go() -> None:
    async def run() -> None:
        async with serving(Connections(head_seconds=0.05)) as served:
            assert await ended(await served.connect()) == b""

    run_apart(run())


def test_a_head_that_drips_is_let_go_however_often_a_byte_comes() -> None:
    async def run() -> None:
        async with serving(Connections(head_seconds=0.1)) as served:
            reader, writer = await served.connect(b"GET /quick HTTP/1.1\r\nx: ")
            gone = asyncio.create_task(ended((reader, writer)))
            while not gone.done():
                with contextlib.suppress(ConnectionError):
                    writer.write(b"y")
                    await writer.drain()
                await asyncio.wait({gone}, timeout=0.01)
            assert gone.result() == b""

    run_apart(run())


def test_an_answer_in_the_making_is_waited_for_however_long() -> None:
    async def run() -> None:
        async with serving(Connections(head_seconds=0.05)) as served:
            busy = await served.connect(WHOLE.replace(b"quick", b"slow"))
            await served.began.acquire()
            assert await ended(await served.connect()) == b""  # as much time has passed as a head has
            served.go.set()
            assert await answer(busy) == b"slow"
            busy[1].write(WHOLE)  # and it serves on
            assert await answer(busy) == b"quick"

    run_apart(run())


def test_a_thousand_silent_sockets_keep_nobody_out() -> None:
    """The one that is silent for longest makes room; who is being answered, and who has just asked, stays."""

    async def run() -> None:
        async with serving(Connections(most=20)) as served:
            busy = await served.connect(WHOLE.replace(b"quick", b"slow"))
            await served.began.acquire()
            silent = [await served.connect() for _ in range(1000)]
            late = await served.connect(WHOLE)
            assert await answer(late) == b"quick"
            assert [await ended(pair) for pair in silent[:981]] == [b""] * 981
            for pair in silent[-17:]:
                pair[1].write(WHOLE)
                assert await answer(pair) == b"quick"
            served.go.set()
            assert await answer(busy) == b"slow"
            for _, writer in silent:
                writer.close()

    run_apart(run())


def test_where_all_are_being_answered_one_more_is_told_so() -> None:
    async def run() -> None:
        async with serving(Connections(most=2)) as served:
            busy = [await served.connect(WHOLE.replace(b"quick", b"slow")) for _ in range(2)]
            for _ in busy:
                await served.began.acquire()
            told = await ended(await served.connect())
            assert told.startswith(b"HTTP/1.1 503 ")
            assert told.endswith(b"\r\n\r\nToo many connections are open; come back later.")
            served.go.set()
            assert [await answer(pair) for pair in busy] == [b"slow"] * 2

    run_apart(run())


@pytest.mark.parametrize(("soft", "most"), [(1024, 512), (1, 1), (10**6, connections.MOST), (-1, connections.MOST)])
def test_half_of_the_files_are_for_connections(soft: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (soft, soft))
    assert most_connections() == most
