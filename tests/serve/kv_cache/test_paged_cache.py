"""Which single tokens are attended over together, and where their pasts stand in the pages."""

from __future__ import annotations

import pytest
import torch
from tests.small import small_config

from centime.serve.kv_cache.paged_cache import SHORT, Pages, TokenSpan, _groups, _rounded, slot_of

PAGES = Pages(small_config(64), 4, 4, torch.float32)


def span(end: int, first_block: int = 0, size: int = 4) -> TokenSpan:
    """The newest token of a request with `end` tokens, whose blocks are neighbours."""
    return TokenSpan(range(first_block, first_block - (-end // size)), end - 1, 1)


@pytest.mark.parametrize(
    ("ends", "together", "rows"),
    [
        ([SHORT, SHORT - 1], 16, [[0, 1]]),
        ([SHORT + 1, SHORT + 1], 16, [[0], [1]]),
        ([SHORT + 1, SHORT, SHORT], 16, [[0], [1, 2]]),
        ([3, 32, 33, 5], 16, [[0, 1, 3], [2]]),
        ([3, 4, 5, 6, 7], 2, [[0, 1], [2, 3], [4]]),
    ],
)
def test_short_pasts_of_about_a_length_go_together(ends: list[int], together: int, rows: list[list[int]]) -> None:
    groups = _groups([span(end) for end in ends], together, PAGES)
    assert [own.tolist() for own, _, _ in groups] == rows


def test_a_group_sees_each_one_s_own_past() -> None:
    ((_, slots, unseen),) = _groups([span(3, 5), span(6, 1)], 16, PAGES)
    assert isinstance(slots, torch.Tensor)
    assert unseen is not None
    assert slots.shape == unseen.shape == (2, 32)
    assert [row[~hidden].tolist() for row, hidden in zip(slots, unseen, strict=True)] == [
        [20, 21, 22],
        [4, 5, 6, 7, 8, 9],
    ]
    assert {row[hidden].unique().item() for row, hidden in zip(slots, unseen, strict=True)} == {20, 4}
    ((_, alone, none),) = _groups([span(6, 1)], 16, PAGES)
    assert (alone, none) == (slice(4, 10), None)
    ((_, apart, _),) = _groups([TokenSpan([7, 2], 5, 1)], 16, PAGES)
    assert isinstance(apart, torch.Tensor)
    assert apart.tolist() == [[28, 29, 30, 31, 8, 9]]


def test_places_and_lengths() -> None:
    assert [slot_of([7, 2], position, 4) for position in (0, 3, 4, 7)] == [28, 31, 8, 11]
    assert [_rounded(tokens) for tokens in (1, 32, 33, 128, 129, 257, 512, 513)] == [
        32,
        32,
        64,
        128,
        192,
        384,
        512,
        768,
    ]
    assert TokenSpan([0], 3, 2).end == 5
