"""Shapley values: how much each of a few causes contributes to a whole, whatever order they are thought of in.

Shapley (1953): a cause's share is its marginal effect averaged over all orders in which the causes may act,
phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S)). The shares add up to v(all) - v(none), a
cause that never changes anything gets nothing, and swapping "before" and "after" changes the signs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CauseShare:
    """A cause's contribution, and the least and greatest marginal effect it has in any order."""

    cause: str
    value: float
    least: float
    greatest: float


def shapley(causes: Sequence[str], value: Callable[[frozenset[str]], float]) -> list[CauseShare]:
    """Exact shares of `causes` in value(all) - value(none); `value` is called once for each of the 2^n subsets."""
    n = len(causes)
    values = [value(frozenset(c for i, c in enumerate(causes) if mask >> i & 1)) for mask in range(1 << n)]
    weights = [math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for k in range(n)]
    shares = []
    for i, cause in enumerate(causes):
        effects = [
            (mask.bit_count(), values[mask | 1 << i] - values[mask]) for mask in range(1 << n) if not mask >> i & 1
        ]
        total = math.fsum(weights[k] * effect for k, effect in effects)
        shares.append(CauseShare(cause, total, min(e for _, e in effects), max(e for _, e in effects)))
    return shares
