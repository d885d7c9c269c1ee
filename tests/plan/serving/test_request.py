"""What is asked of serving: units, times and demands as people write them, and the ends of what may be asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.errors import UserError
from centime.plan.serving.request import (
    Demand,
    ServingRequest,
    parse_demand,
    parse_milliseconds,
    parse_units,
    require_service,
    wide,
)
from centime.plan.serving.units import Unit

ASKED = ServingRequest("deepseek-v3", "h800", gpus=64, isl=1000, osl=100)


@pytest.mark.parametrize(
    ("degrees", "redundant", "overlapped"),
    [(8, 0, False), (15, 0, False), (16, 0, True), (31, 0, True), (32, 32, True), (320, 32, True)],
)
def test_from_sixteen_ranks_on_two_micro_batches_and_from_thirty_two_on_redundant_experts(
    degrees: int, redundant: int, overlapped: bool
) -> None:
    found = wide(Unit(dp=degrees, ep=degrees))
    assert (found.redundant, found.overlapped) == (redundant, overlapped)
    assert found == replace(Unit(dp=degrees, ep=degrees), redundant=redundant, overlapped=overlapped)
    narrow = Unit(tp=degrees, dp=1, ep=degrees)
    assert wide(narrow) == narrow


@pytest.mark.parametrize(
    ("text", "mixture", "units"),
    [
        ("tp8", True, {"mixed": Unit(tp=8, moe_tp=8)}),
        ("tp8", False, {"mixed": Unit(tp=8)}),
        ("Mixed = TP4 DP2", False, {"mixed": Unit(tp=4, dp=2)}),
        ("tp4dp2ep8", True, {"mixed": Unit(tp=4, dp=2, ep=8)}),
        ("tp4ep8", True, {"mixed": Unit(tp=4, dp=2, ep=8)}),
        ("tp8ep2", True, {"mixed": Unit(tp=8, dp=1, ep=2, moe_tp=4)}),
        ("pp2tp4", False, {"mixed": Unit(tp=4, pp=2)}),
        ("prefill=ep8,decode=ep16", True, {"prefill": Unit(dp=8, ep=8), "decode": wide(Unit(dp=16, ep=16))}),
    ],
)
def test_units_as_people_write_them(text: str, mixture: bool, units: dict[str, Unit]) -> None:
    assert parse_units(text, mixture) == units


def test_a_dense_model_has_no_experts_to_spread() -> None:
    with pytest.raises(UserError, match="the model has no experts"):
        parse_units("ep8", mixture=False)


@pytest.mark.parametrize(
    ("text", "seconds"), [("47ms", 0.047), (" 0.5 s ", 0.5), ("5s", 5.0), (".5ms", 0.0005), ("1000ms", 1.0)]
)
def test_times_have_a_unit(text: str, seconds: float) -> None:
    assert parse_milliseconds(text, "--tpot") == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "demand"),
    [
        ("608B-in/day,168B-out/day,hit=0.563", Demand(608e9, 168e9, 0.563)),
        ("1K-in/s, 2K-out/min , hit = 56.3%", Demand(86.4e6, 2.88e6, 0.563)),
        ("7B-in/week,1B-out/h", Demand(1e9, 24e9, 0.0)),
    ],
)
def test_demands_are_of_a_day(text: str, demand: Demand) -> None:
    found = parse_demand(text)
    assert (found.input_per_day, found.output_per_day) == pytest.approx((demand.input_per_day, demand.output_per_day))
    assert found.hit == pytest.approx(demand.hit)


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("gpus", (1, 10_000_000), (0, 10_000_001)),
        ("isl", (1.0, 1e9), (0.0, -1.0, 1.01e9)),
        ("ttft_s", (1e-6, 1e9), (0.0, 9e-7, 1.01e9)),
        ("hit", (0.0, 0.999), (-0.001, 1.0)),
        ("peak_to_mean", (1.0, 100.0, None), (0.99, float("inf"), float("nan"))),
        ("mtp", (0, 8), (-1, 9)),
        ("acceptance", (0.01, 1.0), (0.0, 1.01)),
        ("engine", ("", "vllm"), ("vlm",)),
        ("market", ("spot", "reserved"), ("auction",)),
        ("date", (None, "2026-06"), ("soon",)),
    ],
)
def test_the_ends_of_a_request(name: str, accepted: tuple[object, ...], refused: tuple[object, ...]) -> None:
    for value in accepted:
        assert getattr(replace(ASKED, **{name: value}), name) == value  # type: ignore[arg-type]
    for value in refused:
        with pytest.raises(UserError):
            replace(ASKED, **{name: value})  # type: ignore[arg-type]


def test_a_limit_is_named_by_its_option() -> None:
    require_service(0.5, {"ttft": None, "tpot": 1.0})
    with pytest.raises(UserError, match="--tpot 0 is not above zero"):
        require_service(0.5, {"ttft": 1.0, "tpot": 0.0})
    with pytest.raises(UserError, match=r"--ttft 1e.30 is more than any model takes"):
        require_service(0.5, {"ttft": 1e30})


def test_a_context_is_of_a_demand_without_lengths() -> None:
    demand = {"gpus": None, "demand": Demand(1e9, 1e9), "isl": None, "osl": None}
    assert replace(ASKED, context=4989.0, **demand).context == 4989.0  # type: ignore[arg-type]
    for change in ({}, {"gpus": None, "demand": Demand(1e9, 1e9)}, demand | {"osl": 100.0}):
        with pytest.raises(UserError, match="--context gives the lengths"):
            replace(ASKED, context=4989.0, **change)  # type: ignore[arg-type]
