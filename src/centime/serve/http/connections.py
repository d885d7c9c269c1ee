"""How many connections a server holds, and how long one may take to ask for something.

uvicorn keeps a connection that sends nothing, or half of a request's head, for ever. A thousand of them, from one
client that is slow or means harm, would leave the process no file descriptor for anybody else, nor for the ledger.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

MOST = 4096
HEAD_SECONDS = 20.0  # for a request's head, from its first byte on: as long as Apache's mod_reqtimeout gives it
_REASON = b"Too many connections are open; come back later."
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_REASON), _REASON)
)


def most_connections() -> int:
    """Half of the files that this process may open, at most MOST: the rest is the ledger's, the cache's, upstreams'."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 2))


class Connections:
    """Makes uvicorn's protocol for each connection, and ends those that nothing is asked on.

    most: connections at once. One more than that ends the one that has been silent for longest between requests; where
    an answer is being made on every one, the new one is told 503. head_seconds: after which one that has not asked for
    anything ends, counted from its first byte, or from its beginning. Between requests uvicorn's own time is kept.
    """

    def __init__(self, most: int | None = None, head_seconds: float = HEAD_SECONDS) -> None:
        self.most = most_connections() if most is None else most
        self.head_seconds = head_seconds
        self._open: dict[_Connection, None] = {}  # the one that was silent for longest first

    def __call__(self, **given: Any) -> asyncio.Protocol:
        """What uvicorn asks for when somebody connects."""
        return _Connection(self, AutoHTTPProtocol(**given))

    def opened(self, connection: _Connection) -> bool:
        """Whether there is room for it, made if need be."""
        if len(self._open) >= self.most:
            silent = next((one for one in self._open if one.waits), None)
            if silent is None:
                return False
            silent.end()
        self._open[connection] = None
        return True

    def heard(self, connection: _Connection) -> None:
        """It has sent something."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def closed(self, connection: _Connection) -> None:
        """It is gone, or as good as gone."""
        self._open.pop(connection, None)


class _Connection(asyncio.Protocol):
    """One connection: uvicorn's protocol, with an eye on whether a request comes."""

    def __init__(self, connections: Connections, inner: Any) -> None:
        self._connections, self._inner = connections, inner
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether no request is being answered on it, nor a body read."""
        return self._inner.cycle is None or self._inner.cycle.response_complete

    def end(self) -> None:
        """Closes it at once; what nobody has read of an earlier answer is dropped."""
        self._forget()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no class of asyncio's
        self._inner.connection_made(transport)
        if self._connections.opened(self):
            self._wait_for_head()
        else:
            self._transport.write(_REFUSAL)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._connections.heard(self)
        self._inner.data_received(data)
        if not self.waits:
            self._stop_waiting()
        elif self._patience is None:
            self._wait_for_head()

    def eof_received(self) -> bool | None:
        ended: bool | None = self._inner.eof_received()
        return ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _wait_for_head(self) -> None:
        self._patience = asyncio.get_running_loop().call_later(self._connections.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.waits:
            self.end()

    def _forget(self) -> None:
        self._stop_waiting()
        self._connections.closed(self)
