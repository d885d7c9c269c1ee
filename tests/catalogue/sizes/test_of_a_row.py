"""Architectures of rows that name no known model: what is given is taken, and every gap filled by a stated rule."""

from __future__ import annotations

import pytest

from centime.catalogue.architecture import ExpertsSpec, FeedForwardSpec, SoftmaxAttention
from centime.catalogue.sizes import estimate
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture

GIVEN = {"model": "mine", "layers": "32", "hidden": "4096", "heads": "32", "ffn": "11008", "vocab": "32000"}
MIXED = GIVEN | {"n_experts": "64", "topk": "6", "ffn": "1408"}


def test_what_is_given_is_taken_and_nothing_assumed() -> None:
    found = estimate(GIVEN | {"kv_heads": "8", "params_total_b": "", "topk": ""})
    (block,) = found.blocks
    assert (found.name, found.hidden, found.vocab, block.repeat) == ("mine", 4096, 32_000, 32)
    assert block.mixer == SoftmaxAttention(32, 8, 128)
    assert block.feed_forward == FeedForwardSpec(11_008)
    assert (found.assumptions, found.published_params) == ((), None)
    assert estimate(GIVEN).blocks[0].mixer == SoftmaxAttention(32, 32, 128)
    assert estimate(GIVEN | {"heads": "64"}).blocks[0].mixer == SoftmaxAttention(64, 64, 64)
    assert estimate(MIXED).blocks[0].feed_forward == ExpertsSpec(64, 6, 1408)
    assert estimate(MIXED | {"topk": "65"}).blocks[0].feed_forward == ExpertsSpec(64, 64, 1408)


@pytest.mark.parametrize(("ffn", "gated"), [(11_008, True), (16_383, True), (16_384, False), (20_000, False)])
def test_two_matrices_are_four_times_as_wide_as_the_model_and_three_less(ffn: int, gated: bool) -> None:
    assert estimate(GIVEN | {"ffn": str(ffn)}).blocks[0].feed_forward == FeedForwardSpec(ffn, gated=gated)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"model": "mine", "params_total_b": "13"}, ["layers of", "a vocabulary of 50304", "brings it to 13 B"]),
        ({"model": "mine", "layers": "40", "params_total_b": "13"}, ["40 layers of 5248", "vocabulary", "brings it"]),
        ({"model": "mine", "layers": "32", "hidden": "4096"}, ["a vocabulary of 50304", "a feed-forward of 4 D"]),
        (GIVEN | {"ffn": "", "params_total_b": "7"}, ["a feed-forward of 1"]),
        (MIXED | {"topk": "", "params_total_b": "40", "params_active_b": "8"}, ["of 64 experts of width 1408"]),
        (MIXED | {"topk": "", "params_total_b": "40"}, ["the best 8 of 64 experts"]),
        (MIXED | {"n_experts": "4", "topk": "", "params_total_b": "5"}, ["the best 4 of 4 experts"]),
        (MIXED | {"ffn": "", "params_total_b": "40"}, ["the best 6 of 64 experts of width 1494"]),
        (GIVEN | {"ffn": "", "params_total_b": "40", "params_active_b": "8"}, ["the best 8 of "]),
    ],
)
def test_gaps_are_filled_by_a_rule_that_is_said(row: dict[str, str], said: list[str]) -> None:
    found = estimate(row)
    assert len(found.assumptions) == len(said)
    for line, part in zip(found.assumptions, said, strict=True):
        assert line.startswith("mine: ")
        assert part in line


@pytest.mark.parametrize("total", [3.0, 13.0, 70.0])
def test_a_total_is_met_with_a_width_of_a_hundred_and_twenty_eight_a_layer(total: float) -> None:
    found = estimate({"model": "mine", "params_total_b": str(total)})
    assert count_architecture(found).total_params == pytest.approx(total * 1e9, rel=0.005)
    depth = (total * 1e9 / (12 * 128**2)) ** (1 / 3)
    assert found.layers == round(depth)
    assert found.hidden == pytest.approx(128 * depth, rel=0.05)
    assert found.hidden % 128 == 0


@pytest.mark.parametrize(("total", "active"), [(290.0, 28.8), (47.0, 13.0)])
def test_a_mixture_meets_what_it_holds_and_what_a_token_visits(total: float, active: float) -> None:
    found = estimate({"model": "mine", "params_total_b": str(total), "params_active_b": str(active)})
    counted = count_architecture(found)
    assert counted.total_params == pytest.approx(total * 1e9, rel=0.05)
    assert counted.active_params == pytest.approx(active * 1e9, rel=0.05)
    assert (found.published_params, found.published_active) == (total * 1e9, active * 1e9)
    part = found.blocks[0].feed_forward
    assert isinstance(part, ExpertsSpec)
    assert part.top_k == 8


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"model": "mine"}, "mine is no model of the catalogue"),
        ({}, "the model is no model of the catalogue"),
        ({"model": "mine", "layers": "3"}, "neither layers and hidden nor params_total_b"),
        (GIVEN | {"layers": "many"}, "mine: layers is 'many'; expected a number"),
        (GIVEN | {"layers": "0"}, "mine: layers is 0; expected a finite number above 0"),
        (GIVEN | {"params_total_b": "inf"}, "params_total_b is inf"),
        (GIVEN | {"ffn": "", "arch": "moe", "n_experts": "8"}, "A mixture of experts needs n_experts, topk and ffn"),
    ],
)
def test_what_says_too_little_or_no_number_is_refused(row: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        estimate(row)
