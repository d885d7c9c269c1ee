"""Units tried out by simulation: loads only fall, what cannot keep its limits gives way, wide groups share a chunk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.choice import Lengths, Split, choices, requests_per_s, units_to_try
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import ServingRequest
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.trial import best_tried, chunk_of, tried_out
from centime.plan.serving.units import Unit, number_format

KIND = chip("h200")
ENGINE = EngineModel(
    model_cost(architecture("deepseek-v3")), KIND, Unit(), number_format("fp8", True), speeds(KIND, ServingSoftware())
)
LENGTHS = Lengths(1000, 500, 0.0)
SHORT = Lengths(1000, 100, 0.0)  # simulated in a fifth of the time


def test_a_simulation_only_lowers_loads_and_the_cheapest_is_kept() -> None:
    ordered = choices(ENGINE, SHORT, 5.0, 0.05, None, None)
    costs = [choice.gpu_seconds(SHORT) for choice in ordered]
    assert costs == sorted(costs)
    tried = [tried_out(choice, SHORT, 5.0, 0.05)[0].gpu_seconds(SHORT) for choice in ordered]
    assert all(after >= before * 0.999 for before, after in zip(costs, tried, strict=True))
    assert sum(after > before * 1.05 for before, after in zip(costs, tried, strict=True)) > 2
    assert best_tried(ordered, SHORT, 5.0, 0.05)[0].gpu_seconds(SHORT) == pytest.approx(min(tried))


def test_whole_units_are_shared_out_as_well_as_any_other_way() -> None:
    for choice in choices(ENGINE, LENGTHS, 5.0, 0.05, {"prefill": Unit(dp=8, ep=8), "decode": Unit(dp=16, ep=16)}, 100):
        assert isinstance(choice, Split)
        one = choice.prefill.tokens_per_s_per_gpu * 8 / LENGTHS.isl
        other = choice.decode.tokens_per_s_per_gpu * 16 / LENGTHS.osl
        for gpus in (24, 40, 56, 100, 1000):
            by_hand = max(min((gpus - 16 * m) // 8 * one, m * other) for m in range(1, (gpus - 8) // 16 + 1))
            assert requests_per_s(choice, LENGTHS, gpus) == pytest.approx(by_hand)
        assert requests_per_s(choice, LENGTHS, 23) == 0


def test_a_mixed_unit_keeps_both_limits() -> None:
    ordered = choices(ENGINE, LENGTHS, 5.0, 0.05, {"mixed": Unit(dp=8, ep=8)}, 8)
    found = tried_out(ordered[0], LENGTHS, 5.0, 0.05)[1]["mixed"]
    assert found.ttft.p99 <= 5.0
    assert found.tpot.p50 <= 0.05


def test_a_time_that_nothing_keeps_is_said() -> None:
    ordered = choices(ENGINE, LENGTHS, 5.0, 0.05, {"mixed": Unit(dp=8, ep=8)}, 8)
    with pytest.raises(UserError, match="raise --ttft"):
        best_tried(ordered, LENGTHS, 1e-4, 0.05)


def test_wide_groups_take_their_share_of_a_chunk() -> None:
    assert chunk_of(ENGINE) == 8192
    assert chunk_of(replace(ENGINE, unit=Unit(dp=8, ep=8))) == 1024
    assert chunk_of(replace(ENGINE, unit=Unit(dp=144, ep=144))) == 256


def test_a_plain_question_about_a_wide_model_is_answered() -> None:
    plan = plan_serving(ServingRequest(model="deepseek-v3", gpu="h800", gpus=64, price="$2/h"))
    assert 0 < plan.gpus_mean <= 64


def test_experts_cross_domains_only_where_that_was_shown() -> None:
    widest = {on: max(unit.ep for unit in units_to_try(chip(on), True, 256)) for on in ("h100", "910c", "mi300x")}
    assert widest["mi300x"] == 8
    assert min(widest["h100"], widest["910c"]) >= 144
