"""Whole numbers split in proportion, to the last unit: how a step's nanoseconds are shared by the requests in it."""

from __future__ import annotations

from collections.abc import Sequence


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Parts of `amount` in proportion to `weights`, each rounded down or up, adding up to it exactly.

    The units that rounding leaves over go to the largest remainders (Hamilton's method), the first among equals. All
    weights zero: equal parts. No weight at all is an error of the caller.
    """
    if not weights:
        raise ValueError("nobody to share with")
    total = sum(weights)
    if total == 0:
        weights, total = [1] * len(weights), len(weights)
    parts = [amount * weight // total for weight in weights]
    remainders = [amount * weight % total for weight in weights]
    left = amount - sum(parts)
    for index in sorted(range(len(parts)), key=lambda i: -remainders[i])[:left]:
        parts[index] += 1
    return parts
