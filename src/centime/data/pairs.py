"""Answers to be learned: rows with a loss mask on what the assistant says, one sample a row or several.

A file of JSON lines or a Parquet file of chats, in any of the shapes that `data.chats` reads, rendered with the
tokenizer's chat template. The mask covers what the assistant says and the end-of-sentence token after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from centime.data.chats import Segment, conversation, samples
from centime.data.order import shuffled
from centime.data.rows_packing import packed
from centime.data.sources import local_file, records
from centime.data.tokenizers import ChatEncoder, Tokenizer
from centime.errors import UserError
from centime.units import plural

Int64 = npt.NDArray[np.int64]
TooLong = Literal["leave_out", "cut", "refuse"]

ROUND = 16
"""Rows are as long as the longest among those asked for, rounded up to this, so that few shapes occur."""


@dataclass(frozen=True)
class Shown:
    """One sample, for a person: where it stands, and its stretches as tokens' texts."""

    where: str
    parts: list[tuple[list[str], bool]]  # (texts of the tokens, whether they are trained on)


class PairLoader:
    """Rows of one sample each, right-padded: a pure function of (seed, row number), shuffled anew each epoch."""

    together = 1  # samples that stay together, all of them or none
    noun = "sample"

    def __init__(
        self,
        path: str | Path,
        tokenizer: Tokenizer,
        sequence_length: int,
        seed: int = 0,
        extra: int = 1,
        too_long: TooLong = "leave_out",
    ) -> None:
        """Read, render and tokenise every conversation of a file (.jsonl, .gz, .zst, .parquet); 4 bytes a token.

        Samples longer than sequence_length + extra tokens are left out, counted in `skipped` (what is cut would teach
        the model to stop short), cut at their end, counted in `cut`, or refused. Raises UserError on a line that is no
        conversation, or when no sample is left.
        """
        self.path, self.sequence_length, self.extra, self.seed = Path(path), sequence_length, extra, seed
        self.pad_id = tokenizer.pad_id
        cuts, places = self._rendered(ChatEncoder(tokenizer))
        if not cuts:
            raise UserError(f"{path} holds no pairs: it is empty. Expected one JSON object a line.")
        ids = iter(ChatEncoder(tokenizer).encode_batch([text for cut in cuts for text, _ in cut]))
        parted = [[(next(ids), on) for _, on in cut] for cut in cuts]
        rows: list[npt.NDArray[np.int32]] = []
        masks: list[npt.NDArray[np.bool_]] = []
        longest = 0
        self.skipped = self.cut = 0
        self.example: Shown | None = None
        """The first sample that is kept."""
        for first in range(0, len(cuts), self.together):
            group = parted[first : first + self.together]
            tokens = [np.array([i for part, _ in parts for i in part], dtype=np.int32) for parts in group]
            on = [np.array([on for part, on in parts for _ in part], dtype=np.bool_) for parts in group]
            length = sum(map(len, tokens))
            longest = max(longest, length)
            if length > self.room:
                if too_long == "refuse":
                    raise UserError(
                        f"{places[first]} has {length:,} tokens, more than a row of {sequence_length:,}. Raise the "
                        'stage\'s sequence_length, or say too_long = "leave_out" or "cut".'
                    )
                share = self.room // self.together
                tokens, on = [row[:share] for row in tokens], [mask[:share] for mask in on]
                if too_long == "leave_out" or not all(mask[1:].any() for mask in on):
                    self.skipped += 1
                    continue
                self.cut += 1
            rows += tokens
            masks += on
            if self.example is None:
                shown = [(_texts(tokenizer, part), answered) for parts in group for part, answered in parts]
                self.example = Shown(places[first], shown)
        if not rows:
            raise UserError(
                f"Every pair of {path} is longer than a row of {sequence_length} tokens (the longest has {longest:,}). "
                "Raise the stage's sequence length."
            )
        self._ends = np.cumsum([len(row) for row in rows])
        self._tokens, self._mask = np.concatenate(rows), np.concatenate(masks)
        self.samples = len(rows)
        self.total_tokens = int(self._mask.sum())
        """Tokens that the loss falls on, in one epoch."""
        self._order: tuple[int, npt.NDArray[np.uint32]] = (-1, np.empty(0, dtype=np.uint32))

    def _rendered(self, encoder: ChatEncoder) -> tuple[list[list[Segment]], list[str]]:
        """(samples of the whole file, where each stands; those that stay together one after the other)."""
        cuts: list[list[Segment]] = []
        places: list[str] = []
        for where, record, _ in records(local_file(self.path)):
            found = samples(encoder, conversation(record, where), where)
            cuts += found
            places += [where] * len(found)
        return cuts, places

    @property
    def room(self) -> int:
        """Tokens that a row has room for: its inputs and what they predict."""
        return self.sequence_length + self.extra

    @property
    def pairs(self) -> int:
        """Rows of an epoch."""
        return self.samples

    def said(self) -> list[str]:
        """What a person should know of the file: how much is left out or cut."""
        found = []
        if self.skipped:
            found.append(
                f"{plural(self.skipped, self.noun)} of {self.path} longer than {self.sequence_length:,} tokens left "
                f"out; {self.samples // self.together:,} stay."
            )
        if self.cut:
            found.append(f"{plural(self.cut, self.noun)} of {self.path} cut to {self.sequence_length:,} tokens.")
        return found

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the rows; a resumed run compares it to know that its data is still the same."""
        what = hashlib.sha256(self._tokens.tobytes() + self._mask.tobytes() + self._ends.tobytes())
        what.update(repr((self.sequence_length, self.extra, self.seed)).encode())
        return what.hexdigest()

    def shuffled_row(self, row: int) -> int:
        """Which row of the file's order comes as number `row`, over all epochs."""
        epoch, offset = divmod(row, self.pairs)
        if self._order[0] != epoch:
            self._order = (epoch, shuffled(self.pairs, self.seed, epoch))
        return int(self._order[1][offset])

    def sample(self, number: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """(tokens, mask) of a sample by its number in the file."""
        end = int(self._ends[number])
        begin = int(self._ends[number - 1]) if number else 0
        return self._tokens[begin:end], self._mask[begin:end]

    def rows(self, first: int, count: int) -> tuple[Int64, npt.NDArray[np.bool_]]:
        """(tokens [count, S'] int64, loss_mask [count, S'] bool) of the rows [first, first + count).

        S' is the longest of these rows rounded up to 16, and at most S + extra. loss_mask[r, j] says that tokens[r, j]
        is to be predicted (from the tokens before it); padding is tokenizer.pad_id, never in the mask.
        """
        found = [self.sample(self.shuffled_row(row)) for row in range(first, first + count)]
        longest = max((len(row) for row, _ in found), default=1)
        width = min(-(-longest // ROUND) * ROUND, self.room)
        tokens = np.full((count, width), self.pad_id, dtype=np.int64)
        mask = np.zeros((count, width), dtype=np.bool_)
        for number, (row, on) in enumerate(found):
            tokens[number, : len(row)] = row
            mask[number, : len(row)] = on
        return tokens, mask


def _texts(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """The tokens' texts; tokens that are parts of a character in one."""
    texts, held = [], []
    for number, token in enumerate(ids, start=1):
        held.append(token)
        text = tokenizer.decode(held)
        if "\ufffd" not in text or number == len(ids):
            texts.append(text)
            held = []
    return texts


class PackedPairs(PairLoader):
    """Rows of several samples each, so that little of them is padding; which share a row stays the same every epoch."""

    def _packs(self) -> list[list[int]]:
        if not hasattr(self, "_packed"):
            self._packed = packed(np.diff(self._ends, prepend=0).tolist(), self.room)
        return self._packed

    @property
    def pairs(self) -> int:
        return len(self._packs())

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"packed {super().fingerprint}".encode()).hexdigest()

    def said(self) -> list[str]:
        share = len(self._tokens) / (self.pairs * self.room)
        return [
            *super().said(),
            f"{plural(self.samples, 'sample')} of {self.path} in {plural(self.pairs, 'row')} of "
            f"{self.sequence_length:,} tokens, {100 * share:.0f} % of which they fill.",
        ]

    def packed_rows(self, first: int, count: int) -> tuple[Int64, npt.NDArray[np.bool_], Int64]:
        """As `rows`, with [count, S'] int64 that numbers each row's samples from 1, and is 0 in padding."""
        return self.rows_of([self.shuffled_row(row) for row in range(first, first + count)])

    def rows_of(self, chosen_rows: Sequence[int]) -> tuple[Int64, npt.NDArray[np.bool_], Int64]:
        """The same of rows by their number in the file's own order, without an epoch's shuffling."""
        count, packs = len(chosen_rows), self._packs()
        tokens = np.full((count, self.room), self.pad_id, dtype=np.int64)
        mask, examples = np.zeros((count, self.room), dtype=np.bool_), np.zeros((count, self.room), dtype=np.int64)
        widest = 1
        for number, row in enumerate(chosen_rows):
            at = 0
            for example, chosen in enumerate(packs[row], start=1):
                ids, on = self.sample(chosen)
                place = slice(at, at + len(ids))
                tokens[number, place], mask[number, place], examples[number, place] = ids, on, example
                mask[number, at] = False  # nothing of its own comes before it
                at += len(ids)
            widest = max(widest, at)
        width = min(-(-widest // ROUND) * ROUND, self.room)
        return tokens[:, :width], mask[:, :width], examples[:, :width]

    def rows(self, first: int, count: int) -> tuple[Int64, npt.NDArray[np.bool_]]:
        tokens, mask, _ = self.packed_rows(first, count)
        return tokens, mask
