"""Pure functions of (seed, index): the order of documents in an epoch, and which source a row comes from.

Nothing here keeps state, so a run can be resumed, or spread over any number of machines, from two integers. The
hashing is our own few lines, not numpy's generators, whose streams may change between versions of numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

# Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), figure 17: SplitMix64's constants.
_GAMMA, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1

MIXTURE_BLOCK = 1 << 14
"""Rows per block of a mixture; weights are kept to one part in 16,384."""


def mix(*words: int) -> int:
    """One 64-bit hash of a few integers; a different answer for every order of the words."""
    state = 0
    for word in words:
        state = (state + _GAMMA + (word & _MASK)) & _MASK
        state = ((state ^ (state >> 30)) * _MIX1) & _MASK
        state = ((state ^ (state >> 27)) * _MIX2) & _MASK
        state ^= state >> 31
    return state


def hashes(key: int, count: int) -> npt.NDArray[np.uint64]:
    """[count] uint64: the SplitMix64 stream that starts at `key`."""
    z = np.arange(1, count + 1, dtype=np.uint64)
    z *= np.uint64(_GAMMA)
    z += np.uint64(key & _MASK)
    z ^= z >> np.uint64(30)
    z *= np.uint64(_MIX1)
    z ^= z >> np.uint64(27)
    z *= np.uint64(_MIX2)
    z ^= z >> np.uint64(31)
    return z


def shuffled(count: int, *key: int) -> npt.NDArray[np.uint32]:
    """[count] uint32: the permutation of range(count) that belongs to `key`, such as (seed, source, epoch)."""
    return np.argsort(hashes(mix(*key), count), kind="stable").astype(np.uint32)


class Mixture:
    """Which source each row comes from, in proportion to the weights, evenly spread.

    Rows are dealt in blocks of MIXTURE_BLOCK; in every block a source has the same number of rows, its j-th at a random
    place within the j-th of its equal strides. So any run of rows, however short, holds each source in its proportion
    to within a row or two, and the number of a source's rows before a given row is known without walking there.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        share = np.asarray(weights, dtype=np.float64)
        share = share / share.sum() * MIXTURE_BLOCK
        quota = np.maximum(np.floor(share), 1).astype(np.int64)
        while (short := MIXTURE_BLOCK - int(quota.sum())) != 0:  # largest remainder first; tiny sources keep their row
            step = 1 if short > 0 else -1
            open_ = np.where(quota + step >= 1, (share - quota) * step, -np.inf)
            quota[int(np.argmax(open_))] += step
        self.quota: Int64 = quota
        self._seed = seed
        self._block = -1
        self._dealt = np.empty(0, dtype=np.int64)

    def _deal(self, block: int) -> Int64:
        """[MIXTURE_BLOCK] int64: the source of each row of a block."""
        if block != self._block:
            source = np.repeat(np.arange(len(self.quota)), self.quota)
            stride = np.arange(MIXTURE_BLOCK) - np.repeat(np.cumsum(self.quota) - self.quota, self.quota)
            jitter = hashes(mix(self._seed, block), MIXTURE_BLOCK).astype(np.float64) / 2.0**64
            self._dealt = source[np.argsort((stride + jitter) / self.quota[source], kind="stable")]
            self._block = block
        return self._dealt

    def before(self, row: int) -> Int64:
        """[sources] int64: how many of the rows [0, row) each source gives."""
        block, offset = divmod(row, MIXTURE_BLOCK)
        counts = block * self.quota
        if offset:
            counts = counts + np.bincount(self._deal(block)[:offset], minlength=len(self.quota))
        return counts

    def sources(self, first: int, count: int) -> Int64:
        """[count] int64: the source of each of the rows [first, first + count)."""
        parts = []
        while count > 0:
            block, offset = divmod(first, MIXTURE_BLOCK)
            part = self._deal(block)[offset : offset + count]
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
