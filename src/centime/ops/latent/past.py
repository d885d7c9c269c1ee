"""What single tokens look back on, as a cache shows it to their attention.

Letters of shapes: N queries, G of them in a group, T entries, S places of the cache, P pages of a query, W numbers of
an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from centime.native.library import PastEntries


class QueryGroup(NamedTuple):
    """Queries that are attended together, over as many entries each: G of them over [G, T, L + R]."""

    rows: Tensor  # int64 [G], which queries
    stored_GTW: Tensor
    unseen_GT: Tensor | None = None  # bool, true where entries only fill a shorter one up: any numbers, but numbers


class Past(NamedTuple):
    """What N queries look back on: entries of each in pages of a few tokens, or gathered in groups by `groups`."""

    stored_SW: Tensor  # all pages' entries
    page: int  # tokens of a page
    tables_NP: Tensor  # int64, each query's pages in order; what fills a shorter row up is not read
    lengths_N: Tensor  # int64, entries that each query sees
    groups: Callable[[], Sequence[QueryGroup]]


def native_past(past: Past) -> PastEntries:
    """As the kernels are told of it; `past` must outlive it."""
    pointers = (part.data_ptr() for part in (past.stored_SW, past.tables_NP, past.lengths_N))
    return PastEntries(*pointers, past.page, past.tables_NP.shape[1])
