"""What interruptions cost: failures, and chips that a spot market takes back."""

from __future__ import annotations

import pytest
from tests.plan.show.shown import figures

from centime.catalogue.chips import chip
from centime.catalogue.hourly_prices import gpu_hour
from centime.errors import UserError
from centime.plan import verbs
from centime.plan.training.goodput import CHECKPOINT_HOURS, RESTART_HOURS, goodput, spot_hours
from centime.plan.training.plan import plan_training
from centime.plan.training.request import TrainingRequest


def lost(interval: float, mean: float) -> float:
    """Hours lost for an hour trained, with checkpoints so far apart."""
    return (RESTART_HOURS + interval / 2) / mean + CHECKPOINT_HOURS / interval


@pytest.mark.parametrize("taken", [None, 1.0, 24.0])
def test_no_other_interval_of_checkpoints_loses_less(taken: float | None) -> None:
    found = goodput(512, taken)
    mean, interval = found.hours_between_interruptions, found.hours_between_checkpoints
    assert found.share == pytest.approx(1 / (1 + lost(interval, mean)))
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert lost(interval * factor, mean) > lost(interval, mean)


def test_interruptions_of_both_kinds_add_up() -> None:
    failing, taken = goodput(512).hours_between_interruptions, 7.0
    both = goodput(512, taken).hours_between_interruptions
    assert 1 / both == pytest.approx(1 / failing + 1 / taken)


def test_a_spot_job_is_interrupted_as_the_traces_were() -> None:
    assert spot_hours(8) == pytest.approx(2.13)
    assert spot_hours(4 * 8) == pytest.approx(2.11, rel=0.25)
    assert spot_hours(16 * 8) == pytest.approx(1.29, rel=0.01)


def asked(**changed: object) -> TrainingRequest:
    return TrainingRequest("deepseek-v2-lite", 2e12, "h100", 128, **changed)  # type: ignore[arg-type]


def test_spot_is_cheaper_by_the_hour_and_takes_longer() -> None:
    rented, spot = (plan_training(asked(market=market), quick=True) for market in ("on-demand", "spot"))
    assert spot.price.per_device_hour < rented.price.per_device_hour
    assert spot.days > 1.1 * rented.days
    assert spot.step == rented.step
    calm = plan_training(asked(market="spot", interrupted_every=240.0), quick=True)
    assert rented.days < calm.days < spot.days


def test_what_a_spot_market_loses_is_priced_beside_the_run_on_demand() -> None:
    spot, rented = (plan_training(asked(market=market), quick=True) for market in ("spot", "on-demand"))
    told = spot.to_json()
    assert told["gpu_hours_lost"] == pytest.approx(spot.gpu_hours * (1 - spot.goodput.share))
    assert told["cost_lost"] == pytest.approx(told["gpu_hours_lost"] * spot.price.per_device_hour)
    assert told["cost_on_demand"] == pytest.approx(rented.cost)
    shown = figures(verbs.sections(spot, "en"))
    lost, how = shown["Lost to interruptions"]
    assert lost == f"${told['cost_lost']:,.0f}"
    assert f"{60 * spot.goodput.hours_between_checkpoints:.2g} minutes" in how
    assert shown["The same on demand"][0] == f"${rented.cost:,.0f}"
    post = plan_training(asked(market="spot", post_hours=5000.0), quick=True)  # hours that are given lose nothing more
    assert post.lost_hours == pytest.approx(spot.lost_hours)
    given = plan_training(asked(market="spot", price="$1/h"), quick=True)
    assert given.cost_on_demand is None
    assert "The same on demand" not in figures(verbs.sections(given, "en"))
    assert "Lost to interruptions" not in figures(verbs.sections(rented, "en"))


def test_each_market_has_its_own_prices_or_none() -> None:
    h100 = chip("h100")
    prices = {market: gpu_hour(h100, market=market).per_device_hour for market in ("on-demand", "reserved", "spot")}
    assert prices == {"on-demand": 2.95, "reserved": 1.30, "spot": 1.5}
    assert gpu_hour(h100, given="$2/h", market="spot").per_device_hour == 2
    with pytest.raises(UserError, match=r"No spot price.*H800.*H100 SXM 80GB"):
        gpu_hour(chip("h800"), market="spot")
    with pytest.raises(UserError, match=r"--market 'spto'.*spot"):
        gpu_hour(h100, market="spto")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"interrupted_every": 5.0}, "--market spot"),
        ({"market": "spot", "interrupted_every": 0.001}, "too short"),
        ({"market": "auction"}, "--market 'auction'"),
        ({"currency": "XXX"}, "'XXX'"),
    ],
)
def test_what_contradicts_itself_is_a_sentence(changed: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan_training(asked(**changed), quick=True)
