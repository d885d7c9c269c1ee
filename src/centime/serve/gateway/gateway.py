"""What the gateway's routes share: the servers behind it, the accounts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric

from centime.catalogue.tariffs import Tariff
from centime.serve.accounts import Accounts
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.gateway.upstreams.cache_salt import SECRET_BYTES
from centime.serve.gateway.upstreams.pool import Pool
from centime.serve.gateway.upstreams.routing import Route, Target
from centime.serve.http.metrics import CallMetrics
from centime.serve.http.state import ServerState
from centime.serve.telemetry.machine_costs import MachineCosts, MachineTotals


class GatewayMetrics(CallMetrics):
    """The requests in flight beside the counters. Nothing waits here: the upstreams have their own queues."""

    def __init__(self, pool: Pool, accounts: Accounts) -> None:
        self._pool, self._accounts, self._costs = pool, accounts, MachineCosts()
        super().__init__()
        self._failed = Counter(
            "centime_upstream_failures", "Attempts that an upstream did not answer.", ["upstream"],
            registry=self.registry,
        )  # fmt: skip

    def failed(self, upstream: str) -> None:
        """An attempt came to nothing."""
        self._failed.labels(upstream).inc()

    def collect(self) -> Iterator[Metric]:
        """The gateway as it is now."""
        yield GaugeMetricFamily("centime_running_requests", "Requests in flight.", self._pool.running)
        ready = GaugeMetricFamily(
            "centime_upstream_ready", "Whether requests go there (1) or not.", labels=["upstream"]
        )
        running = GaugeMetricFamily("centime_upstream_requests", "Requests in flight there.", labels=["upstream"])
        for one in self._pool.backends:
            ready.add_metric([one.name], float(one.health.ready))
            running.add_metric([one.name], one.clock.running)
        yield from (ready, running)
        yield from self._costs.metrics(map(self._totals, self._pool.backends))

    def _totals(self, one: Backend) -> MachineTotals:
        pricing = (one.machine or self._accounts.machine).pricing
        model = one.facts.models[0] if len(one.facts.models) == 1 else one.name
        totals = one.clock.totals()
        return MachineTotals(
            one.name, model, pricing.price, pricing.devices, totals.requests_ns, totals.idle_ns, one.answered.prompt,
            one.answered.hit, one.answered.output, totals.requests_energy, totals.idle_energy,
        )  # fmt: skip


@dataclass(kw_only=True)
class Gateway(ServerState):
    """Other servers behind keys and prices.

    secret: what keeps the prefix caches of keys apart, see cache_salt.py; by default it lasts as long as the process.
    """

    pool: Pool
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES))
    metrics: GatewayMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = GatewayMetrics(self.pool, self.accounts)

    def tariff_of(self, route: Route, target: Target) -> Tariff | None:
        """What keys without own prices pay there: the model's list, else the upstream's, else the gateway's."""
        return route.tariff or target.backend.tariff or self.accounts.tariff

    def stop(self) -> None:
        """The connections to the upstreams go with the process."""
