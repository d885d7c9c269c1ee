"""What a token of each kind takes, fitted on the engine's own counters: busy seconds of windows by least squares, with
no weight below nought, and how far off that is on windows that were not fitted on.

Non-negative least squares as in Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23; with four kinds
of work every set of them is tried, so that the smallest residual is found for certain.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from centime.ledger.engines.spans import KINDS, EngineSpan, EngineWork

WINDOW_NS = 15 * 10**9  # of windows that are fitted on, about
FEWEST = 4 * len(KINDS)  # windows: two a kind in each half
MOST = 5_760  # windows: a day of them

# DeepSeek's Day 6 (open-infra-index, 2025-03-01): an H800 node took in 73.7 thousand tokens a second, 56.3 % of them
# from the cache, or put out 14.8 thousand. Seconds a token, of which the ratio alone matters.
_ASSUMED = (1 / (73_700 * (1 - 0.563)), 0.0, 1 / 14_800, 0.0)


@dataclass(frozen=True)
class WorkWeights:
    """Seconds of the whole machine by kind of work (KINDS): a token, for context a token read once."""

    seconds: tuple[float, ...]
    windows: int  # fitted on; 0: assumed
    error: float | None  # root mean square on windows left out, as a share of their mean busy time

    @property
    def assumed(self) -> bool:
        """Whether they are DeepSeek's ratio, for want of windows."""
        return self.windows == 0

    def parts(self, work: EngineWork) -> tuple[int, ...]:
        """What each kind weighs, in attoseconds: whole numbers, so that what is split by them adds up."""
        return tuple(round(weight * 1e18) * amount for weight, amount in zip(self.seconds, work.amounts(), strict=True))


class WindowsSeen:
    """Spans that follow each other, joined to windows of about WINDOW_NS, the latest MOST of them, and their fit."""

    def __init__(self) -> None:
        self._rows: deque[tuple[tuple[int, ...], float]] = deque(maxlen=MOST)  # work of all models, busy seconds
        self._begin()
        self._fit: WorkWeights | None = None

    def _begin(self) -> None:
        self._work, self._busy_ns, self._length_ns = EngineWork(), 0, 0

    def add(self, span: EngineSpan) -> None:
        """Adds the next span; one that nobody saw ends a window, which is then dropped, as are those without work."""
        if span.unseen:
            self._begin()
            return
        for one in span.work.values():
            self._work.add(one)
        self._busy_ns += span.busy_ns
        self._length_ns += span.end_ns - span.start_ns
        if self._length_ns >= WINDOW_NS:
            if self._busy_ns and any(self._work.amounts()):
                self._rows.append((self._work.amounts(), self._busy_ns / 1e9))
                self._fit = None
            self._begin()

    def weights(self) -> WorkWeights:
        """Fitted on the windows so far; assumed while they are too few."""
        if self._fit is None:
            self._fit = _fitted(self._rows)
        return self._fit


def _fitted(rows: Collection[tuple[tuple[int, ...], float]]) -> WorkWeights:
    if len(rows) < FEWEST:
        return WorkWeights(_ASSUMED, 0, None)
    table = np.array([amounts for amounts, _ in rows], dtype=float)
    busy = np.array([seconds for _, seconds in rows])
    weights = least_squares(table, busy)
    if not weights.any():
        return WorkWeights(_ASSUMED, 0, None)
    squares = 0.0
    for half in (0, 1):
        rest = np.arange(len(rows)) % 2 != half
        squares += float(((table[~rest] @ least_squares(table[rest], busy[rest]) - busy[~rest]) ** 2).sum())
    error = (squares / len(rows)) ** 0.5 / float(busy.mean())
    return WorkWeights(tuple(float(weight) for weight in weights), len(rows), error)


def least_squares(table: npt.NDArray[np.float64], busy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The non-negative weights (kinds,) whose `table` (windows, kinds) @ weights is nearest to `busy` (windows,)."""
    best, best_squares = np.zeros(table.shape[1]), float((busy**2).sum())
    scale = np.where(table.max(axis=0) > 0, table.max(axis=0), 1.0)
    used = [column for column in range(table.shape[1]) if table[:, column].any()]
    for size in range(1, len(used) + 1):
        for chosen in itertools.combinations(used, size):
            columns = table[:, chosen] / scale[list(chosen)]
            found = np.linalg.lstsq(columns, busy, rcond=None)[0]
            squares = float(((columns @ found - busy) ** 2).sum())
            if (found >= 0).all() and squares < best_squares * (1 - 1e-9):
                best, best_squares = np.zeros(table.shape[1]), squares
                best[list(chosen)] = found / scale[list(chosen)]
    return best
