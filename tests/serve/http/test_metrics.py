"""Every figure of the metrics' page: under its own name, in base units, and absent where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from centime.serve.accounts import Charge
from centime.serve.engine.request import Finished, Usage
from centime.serve.engine.stats import EngineStats
from centime.serve.http.metrics import CallMetrics, EngineMetrics

# Nanoseconds are whole quarters of a second, so that sums in floats are exact.
QUARTER = 250_000_000
USAGE = Usage(100, 60, 11, 3 * QUARTER, QUARTER, 2 * QUARTER, 12 * QUARTER)
CHARGE = Charge(5 * 10**11, "EUR", 10**12, 2 * 10**12, 4 * 10**12, "USD", "1,2,3", "")


class CallsAlone(CallMetrics):
    """Of a server that does nothing at the moment of a page."""

    def collect(self) -> Iterator[Metric]:
        yield from ()


def told(metrics: CallMetrics) -> dict[str, Any]:
    """What the page says, without the buckets: a name with its label -> its value."""
    samples = [one for family in text_string_to_metric_families(metrics.page().decode()) for one in family.samples]
    return {
        ":".join([one.name.removeprefix("centime_"), *one.labels.values()]): one.value
        for one in samples
        if not one.name.endswith("_bucket")
    }


def ended(usage: Usage, charge: Charge | None, *reasons: Any) -> dict[str, Any]:
    metrics = CallsAlone()
    metrics.ended([Finished(reason, usage) for reason in reasons], usage, charge)
    return told(metrics)


def times(queued: float, first: float, gap: float, whole: float) -> dict[str, float]:
    """Of one call, in seconds; 0 where a time was not observed."""
    seconds = {
        "queue_seconds": queued, "first_token_seconds": first, "output_token_seconds": gap, "call_seconds": whole
    }  # fmt: skip
    counts = {f"{name}_count": float(value > 0) for name, value in seconds.items()}
    return {f"{name}_sum": value for name, value in seconds.items()} | counts


def test_a_call_that_ended() -> None:
    assert ended(USAGE, CHARGE, "stop", "length", "stop") == {
        "answers_total:stop": 2,
        "answers_total:length": 1,
        "tokens_total:hit": 60,
        "tokens_total:miss": 40,
        "tokens_total:output": 11,
        "machine_seconds_total": 0.75,
        "cost_total:EUR": 0.5,
        "list_price_total:USD": 7,
        **times(0.25, 0.5, 0.25, 3.0),  # ten tokens after the first in two and a half seconds
    }


@pytest.mark.parametrize(
    ("charge", "money"),
    [
        (None, {}),
        (Charge(None, "", 1, 1, 1, "USD", "", ""), {}),
        (Charge(0, "EUR", 0, 0, 0, "USD", "", ""), {"cost_total:EUR": 0}),
        (Charge(None, "", 0, 10**12, 0, "USD", "list", ""), {"list_price_total:USD": 1}),
    ],
)
def test_money_is_told_where_there_is_a_price(charge: Charge | None, money: dict[str, float]) -> None:
    page = ended(USAGE, charge, "stop")
    assert {name: value for name, value in page.items() if name.startswith(("cost", "list"))} == money


@pytest.mark.parametrize(
    ("output", "first_ns", "expected"),
    [
        (0, 0, times(0.25, 0, 0, 3)),
        (1, 2 * QUARTER, times(0.25, 0.5, 0, 3)),
        (2, 2 * QUARTER, times(0.25, 0.5, 2.5, 3)),
    ],
)
def test_an_answer_without_a_token_has_no_first_and_one_of_one_no_gap(
    output: int, first_ns: int, expected: dict[str, float]
) -> None:
    page = ended(Usage(100, 60, output, 0, QUARTER, first_ns, 12 * QUARTER), None, "failed")
    assert {name: value for name, value in page.items() if "_seconds_" in name and "machine" not in name} == expected


def test_an_engine_as_it_is_at_the_moment_of_a_page() -> None:
    stats = EngineStats(
        running=1, waiting=2, blocks=3, blocks_used=4, blocks_cached=5, block_tokens=99, cache_bytes=6, steps=7,
        preemptions=8, finished=99, prompt_tokens=99, hit_tokens=99, output_tokens=99, drafted_tokens=9,
        accepted_tokens=10, busy_ns=11 * QUARTER, idle_ns=12 * QUARTER, output_tokens_per_s=13.5,
        computed_tokens_per_s=14.5, failed=False,
    )  # fmt: skip
    before = told(CallsAlone())
    page = told(EngineMetrics(lambda: stats))
    assert before.items() <= page.items()
    assert {name: value for name, value in page.items() if name not in before} == {
        "running_requests": 1,
        "waiting_requests": 2,
        "cache_blocks": 3,
        "cache_blocks_used": 4,
        "cache_blocks_cached": 5,
        "cache_bytes": 6,
        "output_tokens_per_second": 13.5,
        "computed_tokens_per_second": 14.5,
        "steps_total": 7,
        "preemptions_total": 8,
        "drafted_tokens_total": 9,
        "accepted_tokens_total": 10,
        "busy_seconds_total": 2.75,
        "idle_seconds_total": 3.0,
        "machine_busy_seconds_total:engine": 2.75,
        "machine_idle_seconds_total:engine": 3.0,
        "machine_tokens_total:hit:engine": 99,
        "machine_tokens_total:miss:engine": 0,
        "machine_tokens_total:output:engine": 99,
        "llm_cache_savings_fraction:engine:unknown:engine:unknown": 1.0,
    }
