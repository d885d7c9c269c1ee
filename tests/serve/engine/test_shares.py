"""Shares add up to the whole, are in proportion to within a unit, and treat equals alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.engine.made import Asked, engine
from tests.small import small_model, small_tokenizer

from centime.plan.counts import count
from centime.serve.engine.engine import Engine
from centime.serve.engine.shares import split


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_parts_are_whole_and_in_proportion(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        if total:
            assert abs(part * total - amount * weight) < total
            assert part == 0 or weight > 0
        else:
            assert abs(part * len(weights) - amount) < len(weights)


def test_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody"):
        split(5, [])


@pytest.mark.parametrize("counts", [(1, 1), (1, 40), (24, 40)])
def test_requests_of_a_step_share_its_time_by_what_they_compute_and_read(
    tmp_path: Path, counts: tuple[int, int]
) -> None:
    """Two requests of unlike pasts in one step: each pays for its tokens and for the entries that they read, in the
    proportion of the FLOPs that the planner counts for them (a token after n others: all of n + 1, less all of n)."""
    tokenizer = small_tokenizer(tmp_path)
    model = small_model(tokenizer, 512)
    served = engine(model, tokenizer, blocks=256, check=False)
    prompts = [list(range(5, 5 + past)) for past in (3, 240)]
    requests = [Asked(prompt, max_tokens=200) for prompt in prompts]
    run_until_decoding(served, *requests)
    asked = {request.id: count for request, count in zip(requests, counts, strict=True)}
    for generation in served.scheduler.running:  # as after a preemption: so many tokens are known and to be computed
        generation.tokens += list(range(5, 4 + asked[generation.request.id]))
    before = {generation.request.id: generation.machine_ns for generation in served.scheduler.running}
    pasts = {generation.request.id: generation.computed for generation in served.scheduler.running}
    assert served.step()
    spent = {g.request.id: g.machine_ns - before[g.request.id] for g in served.scheduler.running}

    def flops(tokens: int) -> float:
        return tokens * count(model.config, tokens).forward_flops_per_token if tokens else 0.0

    caused = {id_: flops(pasts[id_] + asked[id_]) - flops(pasts[id_]) for id_ in asked}
    assert pasts[requests[1].id] > 50 * pasts[requests[0].id]
    whole, work = sum(spent.values()), sum(caused.values())
    for id_ in asked:
        assert spent[id_] == pytest.approx(whole * caused[id_] / work, rel=1e-2)
    if counts == (1, 1):
        assert spent[requests[1].id] > 1.2 * spent[requests[0].id]  # equal tokens, and unlike what they read


def run_until_decoding(served: Engine, *requests: Asked) -> None:
    """Steps until each has put out a token, and none has one left to compute but the last."""
    for request in requests:
        served.submit(request)
    while not all(request.tokens for request in requests):
        served.step()
    for generation in served.scheduler.running:
        generation.draft = []
