"""Loss and bits per byte on the held-out shards, on rows that are the same at every evaluation."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch

from centime.data.shards import split_folder
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.recipe import Recipe, Source
from centime.train.engine import LossShare, Trainer
from centime.train.stages import StagePlan, TextRows

FINAL = 10  # the last evaluation of a stage takes this many times the rows of the others


@dataclass(frozen=True)
class Evaluation:
    """Mean next-token loss in nats, and in bits per byte of text."""

    loss: float
    bits_per_byte: float
    tokens: int


def held_out(recipe: Recipe, plan: StagePlan) -> HeldOut | None:
    """Evaluation at the stage's length; none without held-out shards, nor in a stage that is not of text."""
    if not recipe.data.held_out or not plan.kind.text:
        return None
    depth = recipe.model.num_nextn_predict_layers
    return HeldOut(recipe.data.held_out, plan.stage.sequence_length, depth, recipe.run.evaluate_rows, plan.order)


def require_held_out(recipe: Recipe, stages: list[StagePlan], tokenizer: Tokenizer) -> None:
    """Raises UserError where held-out shards cannot be read, are of another tokenizer, or are trained on, by whatever
    path: before a step."""
    trained = {os.path.realpath(split_folder(source.path)) for source in recipe.data.train}
    for source in recipe.data.held_out:
        if os.path.realpath(split_folder(source.path)) in trained:
            raise UserError(
                f"data.held_out names {source.path}, which data.train names too: held-out text is never trained on."
            )
    for plan in stages:
        if (found := held_out(recipe, plan)) is not None:
            found.text.loader.require_tokenizer(tokenizer)


class HeldOut:
    """Evaluates on the first rows of the held-out shards, each token predicted from those before it in its row."""

    def __init__(self, sources: list[Source], sequence_length: int, mtp_depth: int, rows: int, order: int) -> None:
        self.text = TextRows(sources, sequence_length, seed=0, mtp_depth=mtp_depth, order=order)
        self._available = max(1, self.text.loader.total_tokens // sequence_length)
        self.rows = min(rows, self._available)

    def rows_between(self, steps: int, every: int) -> int:
        """Rows that the evaluations of a stage take together, its last one left out."""
        return (steps - 1) // every * self.rows

    @property
    def rows_last(self) -> int:
        """Rows of a stage's last evaluation."""
        return min(self.rows * FINAL, self._available)

    @torch.no_grad()
    def evaluate(self, trainer: Trainer, final: bool = False) -> Evaluation:
        """Every rank calls it; the result is that of all rows."""
        engine = trainer.engine
        count = self.rows_last if final else self.rows
        batch = self.text.batch(0, count, engine.rank, engine.world)
        share = LossShare(batch.loss_tokens, batch.sequences, mtp_weight=0.0, balance_weight=0.0)
        total = sum(engine.objective(micro, share).parts[0] for micro in trainer.micro_batches(batch))
        loss = torch.as_tensor(total)
        engine.all_reduce(loss)
        nats = float(loss)
        return Evaluation(nats, bits_per_byte(nats, self.text.bytes_per_token), batch.tokens)


def bits_per_byte(nats_per_token: float, bytes_per_token: float) -> float:
    """A loss in nats a token as bits a byte of text, at the data's mean bytes a token."""
    return nats_per_token / math.log(2) / bytes_per_token
