"""Blocks: no leak, no block in two places, and only true prefixes are found, under random use."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.work import lines_run

from centime.serve.kv_cache import block_pool, free_runs
from centime.serve.kv_cache.block_pool import BlockPool, root_key
from centime.serve.kv_cache.free_runs import FreeRuns

SIZE = 2


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_random_use_keeps_the_books(data: st.DataObject) -> None:
    """Requests that match, take, publish and release in any order; every match is a true prefix."""
    pool = BlockPool(data.draw(st.integers(2, 12)), SIZE)
    content: dict[int, tuple[int, ...]] = {}  # what a real cache would hold in each block: the whole prefix
    tables: list[list[int]] = []
    for _ in range(data.draw(st.integers(1, 20))):
        if tables and data.draw(st.booleans()):
            pool.release(tables.pop(data.draw(st.integers(0, len(tables) - 1))))
        else:
            tokens = data.draw(st.lists(st.integers(0, 2), min_size=SIZE, max_size=4 * SIZE))
            found = pool.match(tokens, "")
            for index, number in enumerate(found.blocks):
                assert content[number] == tuple(tokens[: (index + 1) * SIZE])
            if found.partial is not None:
                start = len(found.blocks) * SIZE
                wanted = tuple(tokens[: start + found.partial_tokens])
                assert content[found.partial][: start + found.partial_tokens] == wanted
            pool.use(found.blocks)
            missing = len(tokens) // SIZE - len(found.blocks)
            taken = pool.take(missing)
            if taken is None:
                assert missing > pool.free
                pool.release(found.blocks)
            else:
                table, key = [*found.blocks, *taken], found.key
                for index in range(len(found.blocks), len(table)):
                    content[table[index]] = tuple(tokens[: (index + 1) * SIZE])
                    key = pool.publish(table[index], key, tokens[index * SIZE : (index + 1) * SIZE])
                tables.append(table)
        pool.check(tables)


def test_a_hash_is_not_trusted_without_its_tokens() -> None:
    pool = BlockPool(3, SIZE)
    taken = pool.take(1)
    assert taken is not None
    key = pool.publish(taken[0], root_key(""), [1, 2])
    assert pool.find(key, root_key(""), [1, 2]) == taken[0]
    assert pool.find(key, root_key(""), [1, 3]) is None  # as if two prefixes had the same hash
    assert pool.find(key, root_key("x"), [1, 2]) is None


def test_neighbours_are_preferred_and_a_new_sequence_begins_where_there_is_room() -> None:
    pool = BlockPool(12, SIZE)
    first = pool.take(2)
    second = pool.take(1, after=None)
    assert first == [0, 1]
    assert second is not None
    assert pool.take(2, after=1) == [2, 3] or second == [2]


def test_the_end_of_a_prefix_goes_before_its_beginning() -> None:
    pool = BlockPool(3, SIZE)
    table = pool.take(3)
    assert table is not None
    key = root_key("")
    for index in range(3):
        key = pool.publish(table[index], key, [index, index])
    pool.release(table)
    assert pool.take(1) is not None
    assert len(pool.match([0, 0, 1, 1, 2, 2], "").blocks) == 2


def test_the_books_notice_a_leak() -> None:
    pool = BlockPool(3, SIZE)
    pool.take(1)
    with pytest.raises(AssertionError):
        pool.check([])


def test_a_prompt_is_compared_with_few_of_many_that_begin_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand prompts of one owner that differ in a block's last token do not slow down the eleventh thousand."""
    pool, alike = BlockPool(10_000, 8), [7] * 7
    for token, number in enumerate(pool.take(10_000) or []):
        pool.publish(number, root_key(""), [*alike, token])
    seen = 0

    def counted(a: Sequence[int], b: Sequence[int]) -> int:
        nonlocal seen
        seen += 1
        return common(a, b)

    common = block_pool._common
    monkeypatch.setattr(block_pool, "_common", counted)
    found = pool.match([*alike, 10_000], "")
    assert (found.blocks, found.partial_tokens) == ([], 7)
    assert pool.match([7, 7, 9], "").partial_tokens == 2
    assert pool.match([8], "").partial is None
    assert seen <= 6


def test_a_block_taken_from_scattered_ones_costs_no_more_than_one_of_a_run() -> None:
    whole, scattered = BlockPool(20_000, SIZE), BlockPool(20_000, SIZE)
    taken = scattered.take(20_000)
    assert taken is not None
    scattered.release(taken[::2])
    assert lines_run(lambda: scattered.take(100)) < 5 * lines_run(lambda: whole.take(100))
    scattered.release(taken[1::2])
    assert scattered.take(19_900) is not None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_runs_under_random_use(data: st.DataObject) -> None:
    runs = FreeRuns(12)
    out: list[int] = []
    for _ in range(data.draw(st.integers(1, 40))):
        if out and (not len(runs) or data.draw(st.booleans())):
            runs.add(out.pop(data.draw(st.integers(0, len(out) - 1))))
        else:
            out.append(runs.longest())
            runs.remove(out[-1])
        runs.check()
        assert len(runs) == 12 - len(out)


def test_what_is_a_run_no_more_is_forgotten_in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then, so that a change stays as quick as it is and what is held does not grow with their number."""
    rebuilt: list[int] = []

    def heapify(heap: list[tuple[int, int, int]]) -> None:
        rebuilt.append(len(heap))
        heapq.heapify(heap)

    monkeypatch.setattr(free_runs, "heapq", SimpleNamespace(**vars(heapq) | {"heapify": heapify}))
    runs = FreeRuns(8)
    for _ in range(1000):
        runs.remove(0)
        runs.add(0)
        assert len(runs._by_length) <= 2 * len(runs._ends) + 65
    assert 10 < len(rebuilt) < 50
