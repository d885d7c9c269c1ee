"""Rows of tokens for training: a pure function of (seed, row number).

A source is an endless stream: its documents in an order shuffled anew each epoch, one after the other, cut into the
rows [r S, r S + S + extra), so that every token is read as an input exactly once an epoch, and none is dropped at a
row's end or an epoch's. The `extra` tokens look ahead: the targets, and those of MTP. The rows of an epoch are then
shuffled, because neighbouring rows are often one document: a step of such rows says little about the corpus (on source
code, a model trained on rows in stream order ended 0.86 nats worse than on shuffled ones), and where only parts of an
epoch were shuffled, it knew the documents of a part by its end and met strangers in the next (docs/log.md).
Packing crosses documents without a mask, as DeepSeek-V3 does (report, section 4.1).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from centime.data.order import Mixture, shuffled
from centime.data.shards import ShardSet, require_tokenizer
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError

Int64 = npt.NDArray[np.int64]


ORDER = 2
"""The order of rows, as a run records it. 1, of runs begun before there were others: parts of 8,192 rows at most, and
of an eighth of an epoch, are shuffled one after the other."""

SHUFFLED = 1 << 24
"""Rows shuffled among each other, at most: 64 MiB while they are dealt, 400 MiB for the moment of shuffling."""


class TokenStream:
    """One source's endless stream of tokens. Holds 8 bytes a document, and 12 for each epoch in use (two at most)."""

    def __init__(self, shards: ShardSet, seed: int, source: int) -> None:
        self.shards = shards
        self.tokens = int(shards.starts[-1])
        self._key = (seed, source)
        self._epochs: dict[int, tuple[npt.NDArray[np.uint32], Int64]] = {}

    def _epoch(self, epoch: int) -> tuple[npt.NDArray[np.uint32], Int64]:
        """(order [documents], ends [documents]): the epoch's documents and where each ends, in tokens."""
        if epoch not in self._epochs:
            order = shuffled(len(self.shards.starts) - 1, *self._key, epoch)
            ends = np.cumsum(np.diff(self.shards.starts)[order])
            while len(self._epochs) >= 2:
                self._epochs.pop(max(self._epochs, key=lambda known: abs(known - epoch)))
            self._epochs[epoch] = (order, ends)
        return self._epochs[epoch]

    def read(self, first: int, out: Int64) -> None:
        """Fill `out` with the tokens [first, first + len(out)) of the stream."""
        done = 0
        while done < len(out):
            epoch, offset = divmod(first + done, self.tokens)
            count = min(len(out) - done, self.tokens - offset)
            self._read_epoch(epoch, offset, out[done : done + count])
            done += count

    def _read_epoch(self, epoch: int, first: int, out: Int64) -> None:
        order, ends = self._epoch(epoch)
        low = int(np.searchsorted(ends, first, side="right"))
        high = int(np.searchsorted(ends, first + len(out), side="left")) + 1
        documents = order[low:high]
        begins = self.shards.starts[documents]
        lengths = self.shards.starts[documents.astype(np.int64) + 1] - begins
        where = np.searchsorted(self.shards.shard_starts, begins, side="right") - 1
        begins = begins - self.shards.shard_starts[where]
        skip = first - (int(ends[low]) - int(lengths[0]))  # tokens of the first document that lie before `first`
        done = 0
        for shard, begin, length in zip(where.tolist(), begins.tolist(), lengths.tolist(), strict=True):
            count = min(length - skip, len(out) - done)
            out[done : done + count] = self.shards.shard(shard)[begin + skip : begin + skip + count]
            done += count
            skip = 0


def _block_rows(epoch: int, taken: int | None, order: int) -> int:
    """Of a source with `epoch` rows, of which a stage takes `taken`: how many are shuffled among each other."""
    if order == 1:
        return min(1 << 13, max(1, epoch // 8))
    among = max(1, epoch if taken is None else min(epoch, taken))
    return -(-among // -(-among // SHUFFLED))  # in equal parts


class Loader:
    """Rows from one or several prepared folders, mixed by weight."""

    def __init__(
        self,
        sources: Sequence[tuple[str | Path, float]],
        sequence_length: int,
        seed: int = 0,
        extra: int = 1,
        start: Sequence[int] | None = None,
        rows: int | None = None,
        order: int = ORDER,
    ) -> None:
        """Open `sources`, pairs of (prepared folder, weight); a weight is a share of the rows, of any scale.

        sequence_length: S, tokens of a row that are read as inputs; extra: tokens that look ahead, 1 + MTP depth.
        start: tokens already read of each source, where a later stage goes on after an earlier one (`position`).
        rows: how many the stage is to take; where that is less than an epoch, these are shuffled among each other, and
        what follows them is left to the next stage. order: ORDER, or that of a run begun with another.
        Raises UserError on an empty corpus, a weight that is not positive, or sources of different tokenizers.
        """
        if not sources:
            raise UserError("No data: name at least one folder made by `centime data prepare`.")
        if sequence_length < 1 or extra < 0:
            raise UserError(
                f"A sequence length of {sequence_length} with {extra} tokens ahead is not possible; "
                "expected a length of at least 1."
            )
        self.sequence_length, self.extra, self.seed, self.order = sequence_length, extra, seed, order
        self._blocks: dict[tuple[int, int], npt.NDArray[np.uint32]] = {}
        self._streams: list[TokenStream] = []
        self._weights: list[float] = []
        for number, (path, weight) in enumerate(sources):
            if not (math.isfinite(weight) and weight > 0):
                raise UserError(f"The weight of {path} is {weight}; expected a number above 0. Leave out unused data.")
            shards = ShardSet(path)
            if shards.index.tokens == 0:
                raise UserError(
                    f"{shards.folder} holds no tokens: the corpus is empty. Prepare it from sources that hold text"
                    " (and, for a held-out split, with a larger --holdout)."
                )
            self._streams.append(TokenStream(shards, seed, number))
            self._weights.append(float(weight))
        first = self._streams[0].shards
        for stream in self._streams[1:]:
            require_tokenizer(
                stream.shards.folder,
                stream.shards.index.tokenizer_sha256,
                first.folder,
                first.index.tokenizer_sha256,
            )
        self.tokenizer_sha256 = first.index.tokenizer_sha256
        self.vocab_size = first.index.vocab_size
        self.total_tokens = sum(stream.tokens for stream in self._streams)
        self.total_bytes = sum(stream.shards.index.bytes for stream in self._streams)
        self._mixture = Mixture(self._weights, seed) if len(self._streams) > 1 else None
        self._start = [0] * len(self._streams) if start is None else [int(value) for value in start]
        if len(self._start) != len(self._streams) or min(self._start) < 0:
            raise ValueError(f"start {self._start} does not fit {len(self._streams)} sources")
        self._rows = rows
        self._block_rows = [
            _block_rows(stream.tokens // sequence_length, None if rows is None else taken, order)
            for stream, taken in zip(self._streams, self._before(rows or 0), strict=True)
        ]
        """Rows of each source that are shuffled among each other."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the rows; a resumed run compares it to know that its data is still the same."""
        what = [
            [[shard.tokens_sha256 for shard in stream.shards.index.shards] for stream in self._streams],
            [self._weights, self._start, self.sequence_length, self.extra, self.seed],
            [1 << 13, 8] if self.order == 1 else [self.order, self._rows, SHUFFLED],
        ]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def require_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Raise UserError unless the data was tokenised with this tokenizer."""
        folder = self._streams[0].shards.folder
        require_tokenizer(folder, self.tokenizer_sha256, tokenizer.folder, tokenizer.sha256)

    def _before(self, row: int) -> list[int]:
        """How many of the rows [0, row) each source gives."""
        return [row] if self._mixture is None else [int(count) for count in self._mixture.before(row)]

    def position(self, row: int) -> tuple[int, ...]:
        """The `start` of a stage that goes on after the rows [0, row): the end of each source's last begun block.

        What the begun block still holds is left to the next epoch, so that no token comes twice before that.
        """
        ends = []
        for number, count in enumerate(self._before(row)):
            block = self._block_rows[number]
            ends.append(self._start[number] + -(-count // block) * block * self.sequence_length)
        return tuple(ends)

    def _places(self, number: int, first: int, count: int) -> Int64:
        """[count] int64: which rows of its stream are a source's rows [first, first + count) in the dealt order."""
        size = self._block_rows[number]
        rows = np.arange(first, first + count)
        for block in range(first // size, (first + count - 1) // size + 1):
            if (number, block) not in self._blocks:
                while len(self._blocks) >= 2 * len(self._streams):
                    self._blocks.pop(next(iter(self._blocks)))
                self._blocks[number, block] = shuffled(size, self.seed, number, block, 1)
            mine = rows[max(0, block * size - first) : (block + 1) * size - first]
            mine[:] = block * size + self._blocks[number, block][mine - block * size]
        return rows

    def rows(self, first: int, count: int) -> Int64:
        """[count, S + extra] int64: the rows [first, first + count) of the one global order."""
        if first < 0 or count < 0:
            raise ValueError(f"rows({first}, {count}): rows are numbered from 0")
        length = self.sequence_length
        out = np.empty((count, length + self.extra), dtype=np.int64)
        if count == 0:
            return out
        chosen = np.zeros(count, dtype=np.int64) if self._mixture is None else self._mixture.sources(first, count)
        for number, before in enumerate(self._before(first)):
            mine = np.flatnonzero(chosen == number)
            if len(mine):
                for row, place in zip(mine, self._places(number, before, len(mine)).tolist(), strict=True):
                    self._streams[number].read(self._start[number] + place * length, out[row])
        return out
