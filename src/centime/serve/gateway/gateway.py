"""What the gateway's routes share: the upstream, its clock, the accounts."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric

from centime.serve.gateway.upstreams.cache_salt import SECRET_BYTES
from centime.serve.gateway.upstreams.clock import Pace, UpstreamClock
from centime.serve.gateway.upstreams.upstream import Facts, Upstream
from centime.serve.http.metrics import CallMetrics
from centime.serve.http.state import ServerState


class GatewayMetrics(CallMetrics):
    """The requests in flight beside the counters. Nothing waits here: the upstream has its own queue."""

    def __init__(self, clock: UpstreamClock) -> None:
        self._clock = clock
        super().__init__()

    def collect(self) -> Iterator[Metric]:
        """The gateway as it is now."""
        yield GaugeMetricFamily("centime_running_requests", "Requests in flight.", self._clock.running)


@dataclass(kw_only=True)
class Gateway(ServerState):
    """One upstream behind keys and prices.

    secret: what keeps the prefix caches of keys apart, see cache_salt.py; by default it lasts as long as the process.
    """

    upstream: Upstream
    facts: Facts
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES))
    clock: UpstreamClock = field(default_factory=UpstreamClock)
    pace: Pace = field(default_factory=Pace)

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
