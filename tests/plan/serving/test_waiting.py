"""Clients that each send the next request when the last is answered: what they wait for, and Little's law."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel, prefilling
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.units import Unit, number_format
from centime.plan.serving.waiting import TAIL, busiest_load, busiest_prefill, closed_loop, closed_loop_apart

KIND = chip("h200")
ONE = EngineModel(
    model_cost(architecture("llama-3.1-70b")),
    KIND,
    Unit(tp=4),
    number_format("fp8", False),
    speeds(KIND, ServingSoftware("vllm", 2026.0)),
)


def test_clients_are_those_who_wait_and_those_who_read() -> None:
    for clients in (1.0, 16.0, 400.0):
        loop = closed_loop(ONE, clients, 1024, 1024)
        assert loop.tokens_per_s / 1024 * (loop.ttft_s + 1024 * loop.tpot_s) == pytest.approx(clients)


def test_more_clients_wait_longer_and_get_more_in_all() -> None:
    loops = [closed_loop(ONE, clients, 2048, 512) for clients in (1.0, 8.0, 64.0)]
    for fewer, more in pairwise(loops):
        assert more.ttft_s > fewer.ttft_s
        assert more.tpot_s > fewer.tpot_s
        assert more.tokens_per_s > fewer.tokens_per_s


def test_clients_beyond_the_memory_wait_for_a_place() -> None:
    room = ONE.room(8192 + 512)
    full, over = (closed_loop(ONE, clients, 8192, 1024) for clients in (room, 3 * room))
    assert over.tpot_s == pytest.approx(full.tpot_s)
    assert over.ttft_s > full.ttft_s + 1024 * full.tpot_s


@pytest.mark.parametrize("ttft", [0.2, 0.4, 0.9, 5.0])
def test_at_the_busiest_load_one_in_a_hundred_waits_to_the_limit(ttft: float) -> None:
    """Kingman: P(W > x) = rho exp(-(1 - rho) x / (s v)), where x is what the prompt and a step of decoding leave."""
    idle, found = (busiest_load(ONE, 1024, 512, limit, 0.05) for limit in (1e9, ttft))
    service = prefilling(ONE, 1024, 1024, 0.0)
    left = ttft - service - found.tpot_s
    rho = found.tokens_per_s / idle.tokens_per_s
    assert left > 0
    assert 0 < rho < 1
    assert rho * math.exp(-(1 - rho) * left / (service * ONE.speeds.wait)) == pytest.approx(TAIL, rel=1e-6)


def test_a_limit_within_the_prompts_own_time_takes_no_load() -> None:
    service = prefilling(ONE, 1024, 1024, 0.0)
    assert busiest_load(ONE, 1024, 512, service, 0.05).tokens_per_s == 0
    assert busiest_load(ONE, 1024, 512, 5.0, 1e-5).tokens_per_s == 0, "no step is as quick"
    assert busiest_prefill(ONE, 1024, 0.0, service / 2)[0] == 0


def test_prompts_in_the_cache_leave_a_unit_of_prefill_time_for_others() -> None:
    rates = [busiest_prefill(ONE, 8192, hit, 1.0) for hit in (0.0, 0.5)]
    for new, tokens, rho in rates:
        assert 0 < rho < 1
        assert new == pytest.approx(tokens / prefilling(ONE, 8192, tokens, 0.0 if new == rates[0][0] else 0.5) * rho)
    assert rates[1][2] > rates[0][2]


def test_units_that_prefill_too_slowly_leave_others_empty() -> None:
    then = dataclasses.replace(ONE, unit=Unit(tp=8))
    few, many = (closed_loop_apart(ONE, units, then, 1, 256, (8192, 256)) for units in (1, 16))
    assert few.tpot_s < many.tpot_s  # fewer sequences decode
    assert few.ttft_s > 2 * many.ttft_s
    assert few.tokens_per_s < many.tokens_per_s


@pytest.mark.parametrize("times", [2, 5])
@pytest.mark.parametrize("clients", [8, 256])
def test_so_many_times_the_units_serve_so_many_times_the_clients_alike(times: int, clients: int) -> None:
    then = dataclasses.replace(ONE, unit=Unit(tp=8))
    one, more = (closed_loop_apart(ONE, 2 * n, then, n, clients * n, (2048, 256)) for n in (1, times))
    assert (more.tpot_s, more.ttft_s) == pytest.approx((one.tpot_s, one.ttft_s))
    assert more.tokens_per_s == pytest.approx(times * one.tokens_per_s)
