"""What `/metrics` tells Prometheus: the engine's state, the requests' times and tokens, and their money."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from centime.serve.telemetry.machine_costs import MachineCosts, MachineTotals

if TYPE_CHECKING:
    from centime.catalogue.prices import Price
    from centime.serve.accounts import Charge
    from centime.serve.engine.request import Finished, Usage
    from centime.serve.engine.stats import EngineStats

# A gauge beside every counter, of when its process began, that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Seconds. From a cached prompt on a GPU to a long one on two cores.
_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120)
_WHOLE = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600, 1800)


class CallMetrics(Collector):
    """Counters of the calls that ended; what a server is doing at the moment of a page, `collect` says.

    Names follow Prometheus's rules: base units, counters end in _total.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"centime_{name}", help_, labels, registry=self.registry)

        def histogram(name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"centime_{name}", help_, buckets=buckets, registry=self.registry)

        self._answers = counter("answers", "Answers ended, by why they ended.", "reason")
        self._tokens = counter("tokens", "Tokens of finished calls: prompt hit, prompt miss, output.", "kind")
        self._machine = counter("machine_seconds", "Machine time given to finished calls.")
        self._cost = counter("cost", "What the machine's time for finished calls costs.", "currency")
        self._list = counter("list_price", "What the price list asks for finished calls.", "currency")
        self._queued = histogram("queue_seconds", "From a call's arrival to its first step.", _FIRST)
        self._first = histogram("first_token_seconds", "From a call's arrival to its first token (TTFT).", _FIRST)
        self._gap = histogram("output_token_seconds", "Per token after the first (TPOT), mean of a call.", _FIRST)
        self._whole = histogram("call_seconds", "From a call's arrival to its end.", _WHOLE)

    def ended(self, ends: Iterable[Finished], usage: Usage, charge: Charge | None) -> None:
        """Counts a call that has ended; charge: None of one that failed."""
        for end in ends:
            self._answers.labels(end.reason).inc()
        for kind, tokens in (("hit", usage.hit_tokens), ("miss", usage.miss_tokens), ("output", usage.output_tokens)):
            self._tokens.labels(kind).inc(tokens)
        self._machine.inc(usage.machine_ns / 1e9)
        if charge is not None and charge.machine_cost is not None:
            self._cost.labels(charge.machine_currency).inc(charge.machine_cost / 1e12)
        if charge is not None and charge.price_list:
            self._list.labels(charge.currency).inc(charge.list_price / 1e12)
        self._queued.observe(usage.queued_ns / 1e9)
        self._whole.observe(usage.total_ns / 1e9)
        if usage.first_token_ns:
            self._first.observe(usage.first_token_ns / 1e9)
            if usage.output_tokens > 1:
                after = (usage.total_ns - usage.first_token_ns) / 1e9
                self._gap.observe(after / (usage.output_tokens - 1))

    def page(self) -> bytes:
        """The page as text."""
        return generate_latest(self.registry)


class EngineMetrics(CallMetrics):
    """Those of a server with an engine, its `stats` at the moment of each page.

    name: of its model; price, devices: what an hour of one device costs, and how many it works on.
    """

    def __init__(
        self, stats: Callable[[], EngineStats], name: str = "engine", price: Price | None = None, devices: int = 1
    ) -> None:
        self._stats, self._costs = stats, MachineCosts()
        self._name, self._price, self._devices = name, price, devices
        super().__init__()

    def collect(self) -> Iterator[Metric]:
        """The engine as it is now, for prometheus_client, which calls this at each page."""
        stats = self._stats()
        for name, help_, value in (
            ("running_requests", "Requests that are computed.", stats.running),
            ("waiting_requests", "Requests in the queue.", stats.waiting),
            ("cache_blocks", "Blocks of the paged cache.", stats.blocks),
            ("cache_blocks_used", "Of those, used by running requests.", stats.blocks_used),
            ("cache_blocks_cached", "Of those, free and holding a prefix that may be hit.", stats.blocks_cached),
            ("cache_bytes", "Memory of the paged cache.", stats.cache_bytes),
            ("output_tokens_per_second", "Over the last seconds.", stats.output_tokens_per_s),
            ("computed_tokens_per_second", "Prompts and answers, over the last seconds.", stats.computed_tokens_per_s),
        ):
            yield GaugeMetricFamily(f"centime_{name}", help_, value)
        for name, help_, value in (
            ("steps", "Steps of the engine.", stats.steps),
            ("preemptions", "Requests that gave their cache back and were computed again.", stats.preemptions),
            ("drafted_tokens", "Tokens that MTP proposed.", stats.drafted_tokens),
            ("accepted_tokens", "Of those, kept.", stats.accepted_tokens),
            ("busy_seconds", "Machine time given to requests, finished or not.", stats.busy_ns / 1e9),
            ("idle_seconds", "Machine time in which there was nothing to do.", stats.idle_ns / 1e9),
        ):
            yield CounterMetricFamily(f"centime_{name}", help_, value)
        yield from self._costs.metrics(
            [
                MachineTotals(
                    self._name, self._name, self._price, self._devices, stats.busy_ns, stats.idle_ns,
                    stats.prompt_tokens, stats.hit_tokens, stats.output_tokens, stats.busy_energy, stats.idle_energy,
                )
            ]
        )  # fmt: skip
