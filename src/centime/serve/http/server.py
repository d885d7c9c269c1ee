"""The server as a process: a socket, signals that drain it, what it logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from centime.errors import UserError
from centime.serve.faults import LOGGING
from centime.serve.http.connections import Connections
from centime.serve.http.responses import new_id
from centime.serve.http.state import ServerState
from centime.serve.telemetry.outermost import Outermost

DRAIN_SECONDS = 600  # that running answers may take to end after SIGTERM; a second signal ends them at once
CHARGING_SECONDS = 5.0  # that what a second signal cut off may take to be charged


def bind(host: str, port: int) -> socket.socket:
    """A socket to listen on; port 0 takes a free one. Raises UserError when the address cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, UnicodeError) as error:  # no name of a host is that long, or spelt so
        why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        raise UserError(
            f"cannot listen on {host} port {port}: {why or error}; give another --host or --port, "
            "or --port 0 for any free one."
        ) from None
    return listening


def url_of(listening: socket.socket) -> str:
    """Where a client of this machine finds the server: an address that can be opened, even if it listens on all."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn over the API. `ready` is called when clients can connect; `should_exit` set makes it drain and return.

    connections: how many it holds, and for how long.
    """

    def __init__(
        self,
        app: ASGIApp,
        state: ServerState,
        ready: Callable[[], None] = lambda: None,
        connections: Connections | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                Outermost(app, lambda: new_id("req_"), lambda: state.observers),
                http=connections or Connections(),  # type: ignore[arg-type]
                log_config=LOGGING,
                access_log=False,
                ws="none",
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._state, self._ready = state, ready

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one of either kind ends at once; what that cuts off is no error to log."""
        if self.should_exit:
            self.force_exit = True
            logging.getLogger("uvicorn.error").disabled = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells when it is done."""
        await super().startup(sockets)
        if self.started:
            self._ready()
            if os.environ.get("CENTIME_SMOKE") == "1":  # the same path with few steps: up, and down again
                self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """New requests are told 503 while the others finish, on new connections too: a refused one says less."""
        self._state.draining = True
        running, deadline = set(self.server_state.tasks), time.monotonic() + DRAIN_SECONDS
        while not self.force_exit and time.monotonic() < deadline and not all(task.done() for task in running):
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        if self.force_exit:
            await self._cut_off()

    async def _cut_off(self) -> None:
        """What a second signal ends is charged for what had come, as where a client leaves."""
        for call in list(self._state.calls):
            call.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHARGING_SECONDS):
                await self._state.settled()


def run(app: ASGIApp, state: ServerState, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what runs; a second signal ends it at once."""
    # uvicorn raises the signal that ended it once more when it is done; the verb still has a bill to print.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    server = Server(app, state, ready)
    try:
        server.run(sockets=[listening])
        if server.force_exit:
            state.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for observer in state.observers:
            observer.close()
