"""One server behind the gateway, at work: how it is asked, what its time is, and whether it can be asked now."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from centime.catalogue.tariffs import Tariff
from centime.serve.accounts import Machine
from centime.serve.gateway.token_counts import TokenCounts
from centime.serve.gateway.upstreams.clock import Pace, UpstreamClock
from centime.serve.gateway.upstreams.upstream import Facts, Upstream
from centime.serve.http.errors import ApiError

NONE = TokenCounts(0, 0, 0)
FAILURES = 3  # in a row after which a server is left alone
REST_S, LONGEST_REST_S = 5.0, 60.0  # it is then not asked for so long, twice as long each time
_ELSEWHERE = {404, 408, 429}  # what another server may answer better, beside all from 500 on


def is_worth_another_try(error: ApiError) -> bool:
    """Whether another server might answer what this one did not: a fault of the server's, not of the request."""
    return error.status >= 500 or error.status in _ELSEWHERE


class Readiness:
    """Whether a server is asked: by what came of the latest requests, and by looks at it between them."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures, self._rest_s, self._until = 0, REST_S, 0.0
        self.up = True  # as the latest look told

    @property
    def ready(self) -> bool:
        """Whether requests go there while others could take them."""
        return self.up and self._now() >= self._until

    def answered(self) -> None:
        """A request was answered, or refused for its own sake."""
        self._failures, self._rest_s, self._until, self.up = 0, REST_S, 0.0, True

    def failed(self, error: ApiError) -> None:
        """A request was not answered. A server that cannot be reached rests at once, another after a few in a row; one
        that said when to come back, until then."""
        if error.status == 404:
            return
        if error.status == 429:
            self._until = max(self._until, self._now() + min(LONGEST_REST_S, error.retry_after or 1.0))
            return
        self._failures += 1
        if self._failures >= FAILURES or error.code == "upstream_lost":
            self._until = self._now() + self._rest_s
            self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s)

    def seen(self, up: bool) -> None:
        """A look at it."""
        if up and not self.up:
            self.answered()
        self.up = up


@dataclass(kw_only=True, eq=False)
class Backend:
    """A server and what is known of it. name: on the bill and in metrics. machine: whose time its requests take, None:
    that of the accounts themselves. tariff: of its models, where neither key nor model has one.

    first_token_s: to the first token of a stream; None: no end.
    """

    name: str
    upstream: Upstream
    facts: Facts
    machine: Machine | None = None
    tariff: Tariff | None = None
    first_token_s: float | None = None
    clock: UpstreamClock = field(default_factory=UpstreamClock)
    pace: Pace = field(default_factory=Pace)
    health: Readiness = field(default_factory=Readiness)
    answered: TokenCounts = NONE  # of all answers so far
    _already: set[str] = field(default_factory=set)

    def tell_once(self, what: str) -> None:
        """Say to whoever runs the gateway what is the matter with this upstream, the first time it is."""
        if what not in self._already:
            self._already.add(what)
            print(f"centime: the upstream {self.upstream.url}: {what}.", file=sys.stderr, flush=True)
