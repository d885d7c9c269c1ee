"""The simulation of arrivals against what queueing theory knows, and what more load does."""

from __future__ import annotations

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.arrivals import Latency, StepClock, simulate
from centime.plan.serving.choice import Lengths
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel, decoding, prefilling
from centime.plan.serving.roofline import Load
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.trial import highest_load
from centime.plan.serving.units import Unit, number_format

KIND = chip("h100")
ENGINE = EngineModel(
    model_cost(architecture("llama-3.1-8b")), KIND, Unit(), number_format("fp8", False), speeds(KIND, ServingSoftware())
)


def test_the_same_seed_gives_the_same_run() -> None:
    assert simulate(ENGINE, 5.0, Lengths(500, 100)) == simulate(ENGINE, 5.0, Lengths(500, 100))
    assert simulate(ENGINE, 5.0, Lengths(500, 100)) != simulate(ENGINE, 5.0, Lengths(500, 100), seed=1)


def test_an_idle_prefill_unit_takes_a_prompt_at_once() -> None:
    found = simulate(ENGINE, 0.2, Lengths(2000, 100), "prefill")
    assert found.ttft.p50 == pytest.approx(prefilling(ENGINE, 2000, 2000), rel=0.3)


def test_a_decode_unit_reaches_its_steady_state() -> None:
    """By Little's law, the sequences in flight are those whose step time makes the load."""
    state = decoding(ENGINE, 64.0, 1000, 200)
    found = simulate(ENGINE, state.tokens_per_s / 200, Lengths(1000, 200), "decode", batch=256)
    assert found.tpot.p50 == pytest.approx(state.tpot_s, rel=0.1)


def test_a_step_of_almost_nothing_takes_what_one_sequence_takes() -> None:
    clock = StepClock(ENGINE, Lengths(1000, 200), 1000.0, 8192.0)
    assert clock(1.0, 0.0) == pytest.approx(decoding(ENGINE, 1.0, 1000, 200).tpot_s, rel=0.05)


@pytest.mark.parametrize("what", ["mixed", "decode"])
@pytest.mark.parametrize("answer", [8, 200])
def test_a_lone_request_has_its_tokens_at_the_speed_of_one(answer: int, what: str) -> None:
    """As many steps as there are tokens."""
    found = simulate(ENGINE, 0.001, Lengths(1000, answer), what, batch=8)
    assert found.tpot.p50 == pytest.approx(decoding(ENGINE, 1.0, 1000, answer).tpot_s, rel=0.1)


def test_groups_wait_for_the_fullest_of_them_but_share_the_experts() -> None:
    model = architecture("deepseek-v3")
    unit = Unit(dp=8, ep=8)
    engine = EngineModel(
        model_cost(model), chip("h200"), unit, number_format("fp8", True), speeds(chip("h200"), ServingSoftware())
    )
    clock = StepClock(engine, Lengths(4096, 1024), 400.0, 8192.0)
    even, uneven, fullest = clock(100.0, 512.0, 512.0), clock(100.0, 4096.0, 512.0), clock(100.0, 4096.0, 4096.0)
    assert even < uneven < fullest


def test_more_load_is_never_faster() -> None:
    runs = [simulate(ENGINE, rate, Lengths(1000, 200)) for rate in (2.0, 8.0, 16.0)]
    assert runs[0].ttft.p90 <= runs[1].ttft.p90 <= runs[2].ttft.p90
    assert runs[0].tpot.p50 <= runs[1].tpot.p50 <= runs[2].tpot.p50


def test_the_highest_load_is_the_last_that_passes() -> None:
    limit = 0.97 * simulate(ENGINE, 16.0, Lengths(1000, 200)).tpot.p50
    found = highest_load(
        16.0, lambda run: run.tpot.p50 < limit, lambda rate: simulate(ENGINE, rate, Lengths(1000, 200))
    )
    assert found.tpot.p50 < limit
    assert found.requests_per_s < 16.0


def test_a_limit_that_nothing_meets_is_said() -> None:
    with pytest.raises(UserError, match="raise --ttft"):
        highest_load(10.0, lambda run: False, lambda rate: simulate(ENGINE, rate, Lengths(1000, 200)))


def test_percentiles() -> None:
    assert Latency.of([float(i) for i in range(100)]) == Latency(50.0, 90.0, 99.0)


WIDE = EngineModel(
    model_cost(architecture("deepseek-v3")),
    chip("h200"),
    Unit(dp=8, ep=8),
    number_format("fp8", True),
    speeds(chip("h200"), ServingSoftware()),
)


@pytest.mark.parametrize(("decode", "prefill"), [(0.0, 4096.0), (100.0, 0.0), (220.0, 2048.0), (400.0, 8192.0)])
def test_a_step_that_was_computed_takes_what_it_takes(decode: float, prefill: float) -> None:
    """On the points between which it is interpolated: matrices, attention, experts and transfers, each once."""
    lengths = Lengths(4096, 1024, 0.25)
    clock = StepClock(WIDE, lengths, 400.0, 8192.0)
    step = WIDE.step(Load(decode, 4096 + 512, prefill * 8, 3072, 1024, queries=1.0))
    assert clock(decode, prefill) == pytest.approx(step.total)
    shared = step.experts + step.exposed_communication
    assert clock(decode, prefill, 0.0) == pytest.approx(step.total - shared + shared_of(decode))


def shared_of(decode: float) -> float:
    """Seconds that all groups wait for together when none of them prefills."""
    step = WIDE.step(Load(decode or 1.0, 4096 + 512, 0.0, 3072, 1024, queries=1.0))
    return step.experts + step.exposed_communication


def test_between_two_points_a_step_lies_on_the_line_between_them() -> None:
    clock = StepClock(WIDE, Lengths(4096, 1024), 400.0, 8192.0)
    corners = [[clock(d, p) for p in (4096.0, 8192.0)] for d in (160.0, 220.0)]
    assert clock(205.0, 5120.0) == pytest.approx(
        0.25 * (0.75 * corners[0][0] + 0.25 * corners[0][1]) + 0.75 * (0.75 * corners[1][0] + 0.25 * corners[1][1])
    )
    assert clock(500.0, 9000.0) == clock(400.0, 8192.0)  # beyond the last: the last
