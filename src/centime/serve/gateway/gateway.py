"""What the gateway's routes share: the upstream, its clock, the accounts."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric

from centime.serve.accounts import Accounts, Charge
from centime.serve.api.metrics import CallMetrics
from centime.serve.api.respond import Abortable
from centime.serve.api.tally import Tally
from centime.serve.engine.request import Finished
from centime.serve.gateway.clock import Clock
from centime.serve.gateway.pace import Pace
from centime.serve.gateway.salt import SECRET_BYTES
from centime.serve.gateway.upstream import Facts, Upstream


class GatewayMetrics(CallMetrics):
    """The requests in flight beside the counters. Nothing waits here: the upstream has its own queue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__()

    def collect(self) -> Iterator[Metric]:
        """The gateway as it is now."""
        yield GaugeMetricFamily("centime_running_requests", "Requests in flight.", self._clock.running)


@dataclass
class Gateway:
    """One upstream behind keys and prices. patience: seconds a client waits before it hears a sign of life.

    secret: what keeps the prefix caches of keys apart, see salt.py; by default it lasts as long as the process.
    """

    upstream: Upstream
    facts: Facts
    accounts: Accounts
    patience: float = 10.0
    book: Path | None = None  # the ledger's file; None: the person's own
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES))
    clock: Clock = field(default_factory=Clock)
    pace: Pace = field(default_factory=Pace)
    tally: Tally = field(default_factory=Tally)
    exchanges: set[Abortable] = field(default_factory=set)  # those that are not settled
    draining: bool = False

    def __post_init__(self) -> None:
        self.metrics = GatewayMetrics(self.clock)
        self._already: set[str] = set()

    def stop(self) -> None:
        """The connections to the upstream go with the process."""

    def tell_once(self, what: str) -> None:
        """Say to whoever runs the gateway what is the matter with its upstream, the first time it is."""
        if what not in self._already:
            self._already.add(what)
            print(f"centime: the upstream {self.upstream.url}: {what}.", file=sys.stderr, flush=True)

    def ended(self, end: Finished, charge: Charge) -> None:
        """Counts a request that was charged."""
        self.metrics.ended([end], end.usage, charge)
        self.tally.add(end.usage, charge)
