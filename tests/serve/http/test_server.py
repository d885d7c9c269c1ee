"""The socket that a server listens on, and how it ends: what runs is finished first, unless it is told twice."""

from __future__ import annotations

import asyncio
import signal
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from tests.loops import run_apart

from centime.errors import UserError
from centime.serve.http import server as http_server
from centime.serve.http.server import Server, bind, url_of


@pytest.mark.parametrize("host", ["x" * 5000, "no such host", "..", "256.1.1.1"])
def test_what_is_no_host_is_a_sentence(host: str) -> None:
    with pytest.raises(UserError, match=r"cannot listen on .* give another --host or --port"):
        bind(host, 0)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("127.0.0.1", 80), "http://127.0.0.1:80"),
        (("0.0.0.0", 8000), "http://127.0.0.1:8000"),
        (("::", 8000, 0, 0), "http://[::1]:8000"),
        (("10.1.2.3", 1), "http://10.1.2.3:1"),
    ],
)
def test_an_address_that_listens_on_all_is_opened_at_this_machine(address: tuple[Any, ...], url: str) -> None:
    listening: Any = SimpleNamespace(getsockname=lambda: address)
    assert url_of(listening) == url


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1 port {port}: .*in use; give another"):
            bind("127.0.0.1", port)
    bind("127.0.0.1", port).close()


@pytest.mark.parametrize(("signals", "finished"), [(1, True), (2, False)])
def test_what_runs_is_finished_before_the_sockets_close_unless_it_is_told_twice(
    monkeypatch: pytest.MonkeyPatch, signals: int, finished: bool
) -> None:
    """Meanwhile new requests are told that it ends. Nothing listens here: uvicorn's own shutdown is only noted."""
    done: list[str] = []

    async def closed(*_: Any) -> None:
        done.append("closed")

    async def answer() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        done.append(f"answered, draining: {state.draining}")

    async def end(server: Server) -> None:
        server.server_state.tasks.add(asyncio.create_task(answer()))
        for _ in range(signals):
            server.handle_exit(signal.SIGTERM, None)
        await server.shutdown()

    monkeypatch.setattr(uvicorn.Server, "shutdown", closed)
    monkeypatch.setattr(http_server, "DRAIN_SECONDS", 5)
    state: Any = SimpleNamespace(draining=False, calls={}, settled=lambda: asyncio.sleep(0))
    app: Any = None
    run_apart(end(Server(app, state)))
    assert done == (["answered, draining: True"] if finished else []) + ["closed"]
    assert state.draining
