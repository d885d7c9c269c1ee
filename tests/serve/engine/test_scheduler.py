"""Who gets tokens, places and blocks, by the books alone: a scheduler over a pool of blocks, without any model."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from centime.serve.engine.cache_manager import CacheManager
from centime.serve.engine.generation import Generation
from centime.serve.engine.request import Request, SamplingParams
from centime.serve.engine.scheduler import PROTECTED_TOKENS, SCORED_TOKENS, ScheduledWork, Scheduler
from centime.serve.kv_cache.block_pool import BlockPool

numbers = itertools.count(1)


def scheduler(blocks: int, step_tokens: int = 64, places: int = 16) -> Scheduler:
    """Blocks of four tokens, whose entries nobody reads."""
    pages: Any = None
    return Scheduler(CacheManager(BlockPool(blocks, 4), pages, prefixes=False), step_tokens, places)


def generation(owner: str, prompt: int, **params: Any) -> Generation:
    """A request of an owner; those that are made later have come later."""
    number = next(numbers)
    request = Request([7] * prompt, SamplingParams(**params), lambda _: None, owner, id=number, arrived_ns=number)
    nothing: Any = None
    return Generation(request, 1000, nothing, nothing)


def step(over: Scheduler) -> list[ScheduledWork]:
    """A step's work, done: all of it is computed, and each request that draws has a token more."""
    work = over.schedule()
    for item in work:
        item.generation.computed = item.span.end
        item.generation.tokens += [9] * item.draws
    return work


def added(over: Scheduler, *asked: tuple[str, int]) -> list[Generation]:
    made = [generation(owner, prompt) for owner, prompt in asked]
    for one in made:
        over.add(one)
    return made


@pytest.mark.parametrize(("prompt", "passes"), [(39, True), (40, False)])
def test_who_fits_its_share_to_the_last_token_passes_one_that_finds_no_room(prompt: int, passes: bool) -> None:
    """Of 30 blocks each of three owners has ten: 39 tokens and the first of the answer."""
    over = scheduler(30)
    added(over, ("a", 60))
    step(over)
    large, short = added(over, ("b", 70), ("c", prompt))
    step(over)
    assert large not in over.running
    assert (short in over.running) == passes


def test_a_single_request_keeps_its_blocks_until_it_has_gone_on_for_a_while() -> None:
    over = scheduler(60)
    (whole,) = added(over, ("a", 160))
    while len(whole.tokens) == 160:
        step(over)
    (other,) = added(over, ("b", 100))
    while other not in over.running:
        gone_on = len(whole.tokens) - whole.let_in
        step(over)
    assert gone_on == PROTECTED_TOKENS
    assert over.preemptions == 1
    assert (whole.computed, whole.table) == (0, [])


def test_of_several_requests_of_one_owner_the_latest_gives_its_place_at_once() -> None:
    over = scheduler(60, places=3)
    first, second, third = added(over, ("a", 4), ("a", 4), ("a", 4))
    step(over)
    (other,) = added(over, ("b", 4))
    step(over)
    assert over.running == [first, second, other]
    assert over.waiting_of("a") == 1
    while other in over.running:
        over.remove(other)
    step(over)
    assert over.running == [first, second, third]


@pytest.mark.parametrize(
    ("held", "victim"),
    [
        ([("a", 6), ("a", 6), ("b", 8)], 1),  # more than half, and another request
        ([("a", 5), ("a", 5), ("b", 10)], 2),  # a half each: the latest of all
        ([("b", 13), ("a", 3), ("a", 4)], 2),  # more than half, but its only one
        ([("b", 3), ("a", 9), ("a", 7), ("b", 1)], 2),
    ],
)
def test_who_gives_way_in_a_full_cache(held: list[tuple[str, int]], victim: int) -> None:
    over = scheduler(20)
    for owner, blocks in held:
        one = generation(owner, 4 * blocks)
        over._enter(one)
        one.table = over.cache.pool.take(blocks) or []
        one.computed = 4 * blocks - 1
    running = list(over.running)
    assert over.cache.pool.free == 0
    running[0].tokens.append(9)
    running[0].computed += 1
    step(over)
    assert [one for one in running if one not in over.running] == [running[victim]]


def test_a_block_is_left_for_every_request_that_runs() -> None:
    """Ten blocks, of which one that runs has five: another may have four, with the first token of its answer."""
    for prompt, room in ((15, True), (16, False)):
        over = scheduler(10)
        added(over, ("a", 16))
        step(over)
        (other,) = added(over, ("a", prompt))
        step(over)
        assert (other in over.running) == room


def test_who_comes_back_does_not_bring_the_turns_it_left_unused() -> None:
    over = scheduler(200, step_tokens=8)
    added(over, ("a", 200))
    for _ in range(10):
        step(over)
    added(over, ("b", 200), ("a", 200))
    counts = {"a": 0, "b": 0}
    for _ in range(10):
        for item in step(over):
            counts[item.generation.request.owner] += item.span.count
    assert counts == {"a": 40, "b": 40}


@pytest.mark.parametrize(("step_tokens", "read"), [(64, 64 // SCORED_TOKENS), (4, 1)])
def test_a_token_whose_log_probability_is_asked_for_counts_as_several(step_tokens: int, read: int) -> None:
    over = scheduler(60, step_tokens)
    over.add(generation("a", 100, prompt_logprobs=0))
    (work,) = step(over)
    assert (work.span.count, work.draws) == (read, 0)
