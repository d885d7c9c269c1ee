"""Where a step's rows come from: packed text for pretrain and context, prompt-answer pairs for sft.

Each is a pure function of the step: the schedule says which rows, the loader what they hold, and every rank takes its
contiguous share, so that the global order is the same for any number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from centime.data.loader import ORDER, Loader
from centime.data.pairs import PackedPairs, PairLoader
from centime.errors import UserError
from centime.recipe import Source
from centime.train.stages.schedule import Schedule

EXAMPLES = "examples"
"""Beside the rows of a packed batch: int64 [n, S + 1 + M], a token's example (1, 2, ... in each row; 0: padding)."""


@dataclass(frozen=True)
class Batch:
    """This rank's rows of a step, and what the step holds over all ranks."""

    rows: Tensor  # int64 [n, S + 1 + M]
    loss_tokens: float  # sum of weights over all ranks
    sequences: int  # over all ranks
    tokens: int  # inputs that are not padding, over all ranks
    weights: Tensor | None = None  # float32 [n, S + M]
    lengths: Tensor | None = None  # int64 [n]
    examples: int | None = None  # over all ranks, each a sequence to the balance loss; None: one a row
    beside: Mapping[str, Tensor] = field(default_factory=dict)  # [n, ...] each: what the stage's own loss needs
    notes: Mapping[str, float] = field(default_factory=dict)  # of how the rows came to be: they go to the step's record


class Rows(Protocol):
    """Rows by number, as this rank's share of `count` of them."""

    fingerprint: str
    tokens_per_row: float  # inputs that are not padding, on average

    def batch(self, first: int, count: int, rank: int, world: int) -> Batch:
        """Rows [first, first + count) of the global order, of which this rank holds its share."""

    def prompt(self) -> list[int] | None:
        """Token ids that a sample of the stage's model goes on from; None: the beginning of a held-out text."""
        return None

    def said(self) -> list[str]:
        """Sentences that a person should read before the first step: what is left out."""
        return []


def own_share(count: int, rank: int, world: int) -> tuple[int, int]:
    """[low, high) of `count` rows for a rank: shares differ by what is left over alone."""
    share = -(-count // world)
    return min(rank * share, count), min((rank + 1) * share, count)


class TextRows(Rows):
    """Packed rows of S + 1 + M tokens; every position is trained on."""

    def __init__(
        self,
        sources: Sequence[Source],
        sequence_length: int,
        seed: int,
        mtp_depth: int,
        start: Sequence[int] | None = None,
        stated: int | None = None,
        order: int = ORDER,
    ) -> None:
        """start, stated (rows of the whole stage) and order: as Loader has them."""
        named = [(source.path, source.weight) for source in sources]
        self.loader = Loader(named, sequence_length, seed, 1 + mtp_depth, start, stated, order)
        self.fingerprint = self.loader.fingerprint
        self.tokens_per_row = float(sequence_length)
        self.bytes_per_token = self.loader.total_bytes / self.loader.total_tokens

    def batch(self, first: int, count: int, rank: int, world: int) -> Batch:
        low, high = own_share(count, rank, world)
        ids = self.loader.rows(first + low, high - low)
        if ids.size and int(ids.max()) >= self.loader.vocab_size:
            raise UserError(
                f"The data holds token {int(ids.max())}, beyond its vocabulary of {self.loader.vocab_size:,}: "
                "it is damaged. `centime data check` names the file; prepare the folder again."
            )
        rows = torch.from_numpy(ids)
        tokens = count * self.loader.sequence_length
        return Batch(rows, loss_tokens=tokens, sequences=count, tokens=tokens)


class PairRows(Rows):
    """One sample a row, padded on the right, with the loss on the answers alone.

    Padding is never computed with: causal attention lets no token see it, and loads and balance leave it out.
    """

    def __init__(self, loader: PairLoader, mtp_depth: int) -> None:
        self.loader = loader
        self.fingerprint = loader.fingerprint
        self.depth = mtp_depth
        some = min(self.loader.pairs, 1024)
        self.tokens_per_row = self.batch(0, some, rank=0, world=1).tokens / some

    def batch(self, first: int, count: int, rank: int, world: int) -> Batch:
        tokens, answers = (torch.from_numpy(array) for array in self.loader.rows(first, count))
        width = tokens.shape[1]
        last = (answers * torch.arange(width)).amax(
            -1
        )  # index of a row's last answer token: as many inputs predict up to it
        low, high = own_share(count, rank, world)
        return Batch(
            rows=torch.nn.functional.pad(tokens[low:high], (0, self.depth)),
            weights=torch.nn.functional.pad(answers[low:high, 1:].float(), (0, self.depth)),
            lengths=last[low:high],
            loss_tokens=float(answers[:, 1:].sum()),
            sequences=count,
            tokens=int(last.sum()),
        )

    def prompt(self) -> list[int]:
        tokens, answers = self.loader.rows(0, 1)
        first: list[int] = tokens[0, : int(answers[0].argmax())].tolist()
        return first

    def said(self) -> list[str]:
        return self.loader.said()


class PackedRows(PairRows):
    """Several samples a row, of which none sees another: `beside` says which each token is of."""

    def __init__(self, loader: PackedPairs, mtp_depth: int) -> None:
        self._packed = loader
        super().__init__(loader, mtp_depth)

    def batch(self, first: int, count: int, rank: int, world: int) -> Batch:
        return self.batch_of([self._packed.shuffled_row(row) for row in range(first, first + count)], rank, world)

    def batch_of(self, numbers: Sequence[int], rank: int, world: int) -> Batch:
        """The rows of these numbers in the file's own order, of which this rank holds its share."""
        count = len(numbers)
        tokens, answers, examples = (torch.from_numpy(array) for array in self._packed.rows_of(numbers))
        inputs = (examples[:, :-1] > 0) & (examples[:, :-1] == examples[:, 1:])  # a sample's last token is a target
        low, high = own_share(count, rank, world)
        ahead = (0, self.depth)
        return Batch(
            rows=torch.nn.functional.pad(tokens[low:high], ahead),
            weights=torch.nn.functional.pad(answers[low:high, 1:].float(), ahead),
            lengths=(examples[low:high] > 0).sum(-1) - 1,
            beside={EXAMPLES: torch.nn.functional.pad(examples[low:high], ahead)},
            loss_tokens=float(answers[:, 1:].sum()),
            sequences=count,
            examples=int(examples.amax(-1).sum()),
            tokens=int(inputs.sum()),
        )


class StageRows:
    """The rows of one stage by step."""

    def __init__(self, rows: Rows, schedule: Schedule, rank: int, world: int) -> None:
        self.rows, self.schedule, self.place = rows, schedule, (rank, world)

    def batch(self, step: int) -> Batch:
        """The rows of a step, from 0."""
        schedule = self.schedule
        return self.rows.batch(int(schedule.first_row[step]), int(schedule.rows[step]), *self.place)
