"""The curve is what no other point beats, and it is what the engine model says of a layout at a batch."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.frontier.curve import SpeedPoint, at_speed, batches, between, frontier, points, with_prefill
from centime.plan.serving.choice import Lengths, prefills
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel, decoding, steady
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.units import Unit, number_format

KIND = chip("h100")
ENGINE = EngineModel(
    model_cost(architecture("llama-3.1-8b")), KIND, Unit(), number_format("fp8", False), speeds(KIND, ServingSoftware())
)
LENGTHS = Lengths(1000, 200)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=30))
def test_no_point_of_the_frontier_is_beaten_and_every_other_is(pairs: list[tuple[int, int]]) -> None:
    found = [SpeedPoint("x", 1, 1.0, float(x), float(y)) for x, y in pairs]
    kept = frontier(found)
    assert [p.per_user for p in kept] == sorted(p.per_user for p in kept)
    assert [p.per_chip for p in kept] == sorted((p.per_chip for p in kept), reverse=True)
    for point in found:
        assert any(best.per_user >= point.per_user and best.per_chip >= point.per_chip for best in kept)


def test_points_are_the_steady_state_and_decode_with_its_prefill() -> None:
    best = prefills(ENGINE, [Unit()], LENGTHS, 5.0)[0]
    found = points(ENGINE, [Unit()], LENGTHS, best)
    both, apart = (next(p for p in found if p.layout == name and p.batch == 1.0) for name in ("TP1", "TP1 + TP1"))
    state, alone = steady(ENGINE, 1.0, 1000, 200), decoding(ENGINE, 1.0, 1000, 200)
    assert (both.per_user, both.per_chip) == (1 / state.tpot_s, state.tokens_per_s)
    assert apart.per_user == 1 / alone.tpot_s > both.per_user
    assert apart.per_chip < alone.tokens_per_s
    assert apart.chips == 2
    seconds = 200 / alone.tokens_per_s + 1000 / best.tokens_per_s_per_gpu
    assert with_prefill(alone.tokens_per_s, LENGTHS, best) == pytest.approx(200 / seconds)
    assert not any("+" in p.layout for p in points(ENGINE, [Unit()], LENGTHS, None))


def test_batches_go_from_what_memory_holds_to_one() -> None:
    assert list(batches(0.5)) == []
    found = list(batches(100.0))
    assert found[0] == 100.0
    assert found[-1] == 1.0
    assert all(a / b <= math.sqrt(2) + 1e-9 for a, b in itertools.pairwise(found))


def test_between_points_lies_a_line_in_logarithms_and_beyond_the_ends_nothing() -> None:
    curve = [SpeedPoint("x", 1, 1.0, 10.0, 100.0), SpeedPoint("x", 1, 1.0, 40.0, 25.0)]
    assert between(curve, 10.0) == pytest.approx(100.0)
    assert between(curve, 20.0) == pytest.approx(50.0)
    assert between(curve, 40.0) == pytest.approx(25.0)
    assert between(curve, 9.0) is between(curve, 41.0) is None


def test_at_a_speed_is_the_point_that_reaches_it() -> None:
    curve = [SpeedPoint("x", 1, 1.0, 10.0, 100.0), SpeedPoint("x", 1, 1.0, 40.0, 25.0)]
    assert at_speed(curve, 5.0) == at_speed(curve, 10.0) == curve[0]
    assert at_speed(curve, 10.1) == curve[1]
    assert at_speed(curve, 41.0) is None
