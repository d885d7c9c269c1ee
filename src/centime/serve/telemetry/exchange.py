"""One HTTP request while it is answered and charged: what is to be told of it, gathered as it becomes known.

The request's context carries it (contextvars), so that whoever knows something says so without being handed it. It is
told once, when the answer has ended and every call that it began is settled: a client may leave before that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from centime.ledger.tags import NO_TAGS, RequestTags
from centime.serve.accounts import Charge
from centime.serve.engine.request import Finished, Usage

log = logging.getLogger("centime.serve")


class Observer(Protocol):
    """Is told of every exchange that is over. It must return at once; what it raises is logged."""

    bodies: bool  # whether it wants the bytes that were sent and answered

    def over(self, exchange: Exchange) -> None:
        """The exchange is over."""

    def close(self) -> None:
        """Nothing follows: what is not written yet is."""


@dataclass(eq=False)
class Exchange:
    """request_id: in the answer's headers, the body of an error and the ledger, and sent on to an upstream.

    headers: those that came, by lower-case names. Times in nanoseconds. model: as the upstream was asked for it, where
    there is one; provider: what answers, by the name of its software.
    """

    request_id: str
    method: str
    path: str
    headers: Mapping[str, str]
    observers: Sequence[Observer] = ()
    began_wall_ns: int = field(default_factory=time.time_ns)
    began_ns: int = field(default_factory=time.monotonic_ns)
    status: int = 0  # 0: the client left before an answer began
    key: str = ""
    place: str = ""
    tags: RequestTags = NO_TAGS
    stream: bool = False
    upstream: str = ""
    model: str = ""
    provider: str = "centime"
    attempts: int = 0
    ends: tuple[Finished, ...] = ()
    usage: Usage | None = None
    charge: Charge | None = None
    lowered: int | None = None  # the most tokens of each answer, where a budget paid no more
    error: str = ""  # its code
    error_message: str = ""  # may quote what the client sent
    sent: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    total_ns: int = 0  # until the answer had ended
    _open: int = 1  # the answer itself, and the calls that it began

    def hold(self) -> None:
        """A call of it begins: it is not over before `let_go`."""
        self._open += 1

    def let_go(self) -> None:
        """A call of it is settled, or its answer has ended. After the last of them it is told."""
        self._open -= 1
        if self._open == 0:
            for observer in self.observers:
                try:
                    observer.over(self)
                except Exception:  # no answer and no charge hangs on what is told of it
                    log.exception("a request could not be told of")

    def answer_ended(self) -> None:
        """Nothing more is sent to the client."""
        self.total_ns = time.monotonic_ns() - self.began_ns
        self.let_go()

    def ended(self, ends: Iterable[Finished], usage: Usage, charge: Charge | None) -> None:
        """What the answer came to."""
        self.ends, self.usage, self.charge = tuple(ends), usage, charge

    def failed(self, code: str, message: str) -> None:
        """What the client was told instead of an answer, or in the midst of one."""
        self.error, self.error_message = code, message


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def current_exchange() -> Exchange | None:
    """That of the request that is being answered here; None outside of any."""
    return _current.get()


def begin(exchange: Exchange) -> None:
    """It is the current one of this task, and of those that this one makes."""
    _current.set(exchange)
