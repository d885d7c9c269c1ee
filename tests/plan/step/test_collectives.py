"""Bytes of collectives by counting who sends what to whom: rings, exchanges of tokens drawn anywhere, neighbours."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.plan.step.collectives import bandwidth, exchange_seconds, gather_seconds, members, send_seconds
from centime.plan.step.efficiency import Constants, TrainingSoftware, rates

FAR, NEAR = 40e9, 160e9
RATES = replace(
    rates(chip("h800"), "bf16", TrainingSoftware(2025.0), Constants()), scaleup=NEAR, scaleout=FAR, scaleup_domain=8
)
QUICK = 1e30  # what is not waited for


@pytest.mark.parametrize("size", [1, 2, 8, 16, 64])
@pytest.mark.parametrize("stride", [1, 2, 8, 32])
def test_a_ring_runs_by_the_links_between_its_members(size: int, stride: int) -> None:
    inside = sum(member * stride < 8 for member in range(size))
    assert members(size, stride, 8) == inside
    rate = NEAR if inside == size else min(NEAR, FAR * inside)
    assert bandwidth(size, stride, RATES) == rate
    passed_on = sum(1e9 / size for _ in range(size - 1))  # a shard a round
    assert gather_seconds(size, stride, 1e9, RATES) == pytest.approx(passed_on / rate)


@pytest.mark.parametrize(("chips", "copies", "limit"), [(16, 1, 0), (64, 8, 0), (64, 2, 0), (256, 8, 0), (64, 64, 4)])
def test_a_token_crosses_once_to_each_other_domain_that_it_is_sent_to(chips: int, copies: int, limit: int) -> None:
    draw, domains = random.Random(0), chips // 8
    allowed = [draw.sample(range(domains), limit or domains) for _ in range(5_000)]
    reached = [len(set(draw.choices(some, k=copies)) - {0}) for some in allowed]
    crossing = sum(reached) / len(reached)
    far = exchange_seconds(chips, 1, copies * 1e6, copies, limit, replace(RATES, scaleup=QUICK))
    assert far == pytest.approx(1e6 * crossing / FAR, rel=0.03)
    near = exchange_seconds(chips, 1, copies * 1e6, copies, limit, replace(RATES, scaleout=QUICK))
    assert near == pytest.approx(copies * 1e6 * 7 / 8 / NEAR)
    assert exchange_seconds(chips, 1, copies * 1e6, copies, limit, RATES) == max(far, near)


def test_within_a_domain_nothing_crosses_and_alone_nothing_is_sent() -> None:
    assert exchange_seconds(4, 1, 1e9, 8, 0, replace(RATES, scaleout=1.0)) == pytest.approx(1e9 * 3 / 4 / NEAR)
    assert exchange_seconds(1, 1, 1e9, 8, 0, RATES) == gather_seconds(1, 1, 1e9, RATES) == 0


@pytest.mark.parametrize(("stride", "rate"), [(1, NEAR), (7, NEAR), (8, FAR), (64, FAR)])
def test_a_message_to_the_next_stage_goes_by_the_link_between_them(stride: int, rate: float) -> None:
    assert send_seconds(stride, 1e9, RATES) == 1e9 / rate
