"""A trace on a fleet: the fewest units that keep the limits, and what following the load takes."""

from __future__ import annotations

import functools
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from centime.errors import UserError
from centime.plan import verbs
from centime.plan.breakeven.fleet import own_fleet
from centime.plan.breakeven.planner import from_inputs, plan_breakeven
from centime.plan.breakeven.replay import Replayed, replayed
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.breakeven.trace import Trace, TracedRequest
from centime.plan.breakeven.trace_report import _by_hour
from centime.plan.serving.choice import Lengths
from centime.plan.serving.request import ServingRequest
from centime.plan.show.language import writer

LENGTHS = Lengths(4000, 400)  # long enough that a unit's hour has thousands of requests, not more
LIMITS = (2.0, 0.03)
FLEET = own_fleet(
    ServingRequest("llama-3.1-8b", "h100", gpus=1, isl=4000, osl=400, ttft_s=2.0, tpot_s=0.03, layout="mixed=tp1"),
    LENGTHS,
    "2026-06-01",
)
HOLDS = FLEET.options[0].kinds[0].rate  # requests a second of a unit, by random arrivals


@functools.cache
def trace(units: float, hours: int = 2, quiet: float = 0.1, seed: int = 0) -> Trace:
    """So many units' load in the last hour, a share of it before."""
    dice, at, found = random.Random(seed), 0.0, []
    while at < 3600 * hours:
        rate = units * HOLDS * (1.0 if at >= 3600 * (hours - 1) else quiet)
        at += dice.expovariate(rate)
        found.append(TracedRequest(at, max(1.0, dice.gauss(4000, 800)), max(1.0, dice.gauss(400, 80))))
    return Trace(tuple(found), dated=False)


def run(units: float, **how: float) -> Replayed:
    return replayed(FLEET, trace(units, **how), LENGTHS, LIMITS)  # type: ignore[arg-type]


def test_random_arrivals_take_the_units_that_the_simulation_says() -> None:
    assert run(0.5).gpus == 1
    assert run(3.6).gpus in (3, 4, 5)
    assert run(7.5).gpus in (7, 8, 9)


def test_following_the_load_takes_fewer_in_the_quiet_hours() -> None:
    found = run(8.0, hours=4)
    assert len(found.gpus_by_hour) in (4, 5)
    assert found.gpus_by_hour[0] == 1
    assert max(found.gpus_by_hour) == found.gpus
    assert found.saved == pytest.approx(1 - sum(found.gpus_by_hour) / (found.gpus * len(found.gpus_by_hour)))
    assert found.saved > 0.5
    table = _by_hour(found, writer("en"))
    units = found.kinds[0].by_hour
    assert [row[1:] for row in table.rows] == [[str(n), str(m)] for n, m in zip(found.gpus_by_hour, units, strict=True)]
    days = replace(found, kinds=(replace(found.kinds[0], by_hour=(1,) * 30 + (2,) + (1,) * 40),))
    told = _by_hour(days, writer("en"))
    assert [row[2] for row in told.rows] == ["1"] * 6 + ["2"] + ["1"] * 17
    assert "most of all days" in told.note


def test_a_burst_takes_more_than_its_mean() -> None:
    """As many requests in the same ten minutes, but all in its first seconds."""
    even = [TracedRequest(600.0 * i / 900, 4000.0, 400.0) for i in range(900)]
    burst = [TracedRequest(3.0 * i / 900, 4000.0, 400.0) for i in range(899)] + [TracedRequest(600.0, 4000.0, 400.0)]
    one, other = (replayed(FLEET, Trace(tuple(found), dated=False), LENGTHS, LIMITS) for found in (even, burst))
    assert other.gpus > one.gpus
    assert other.kinds[0].ttft.p99 <= LIMITS[0]


def test_limits_that_one_request_misses_alone_are_said() -> None:
    with pytest.raises(UserError, match="one request alone misses the limits"):
        replayed(FLEET, trace(0.1), LENGTHS, (2.0, 1e-4))


def test_units_apart_are_counted_apart() -> None:
    request = ServingRequest("llama-3.1-8b", "h100", gpus=2, isl=4000, osl=400, layout="prefill=tp1,decode=tp1")
    fleet = own_fleet(request, LENGTHS, "2026-06-01")
    found = replayed(fleet, trace(3.0), LENGTHS, (2.0, 0.05))
    assert [kind.role for kind in found.kinds] == ["prefill", "decode"]
    assert found.gpus == sum(kind.fixed for kind in found.kinds)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    rows = [f"{one.at_s:.3f},{one.prompt:.0f},{one.answer:.0f},2000" for one in trace(2.0, hours=1).requests]
    path.write_text("\n".join(["time,prompt_tokens,output_tokens,hit_tokens", *rows, "9,x,1,1"]) + "\n")
    return path


def test_a_plan_takes_lengths_hits_and_peak_from_the_trace(file: Path) -> None:
    asked = BreakevenRequest("llama-3.1-8b", "h100", ("0.1,0.1,0.1",), price="$2/h", trace=str(file), date="2026-06-01")
    plan = plan_breakeven(asked)
    assert plan.lengths.isl == pytest.approx(4000, rel=0.05)
    assert plan.lengths.osl == pytest.approx(400, rel=0.05)
    assert plan.lengths.hit == pytest.approx(0.5, rel=0.05)
    found = plan.to_json()
    told = found["trace"]
    assert told["cost_per_day"] == pytest.approx(told["gpus"] * 48)
    assert told["api_cost_per_day"]["0.1,0.1,0.1"] == pytest.approx(told["tokens_per_day"] * 0.1 / 1e6)
    assert told["columns"] == ["time", "prompt_tokens", "output_tokens", "hit_tokens"]
    assert "line" in told["faults"][0]
    json.dumps(found)
    assert from_inputs(json.loads(json.dumps(plan.inputs()))).to_json() == found
    assert "trace" in str(verbs.sections(plan, "en")).lower()
    assert verbs.sections(plan, "fr")


def test_lengths_beside_a_trace_are_refused(file: Path) -> None:
    for change in ({"isl": 5.0}, {"hit": 0.0}, {"peak_to_mean": 2.0}):
        with pytest.raises(UserError, match="is of the trace"):
            replace(BreakevenRequest("llama-3.1-8b", "h100", ("1,1,1",), trace=str(file)), **change)
