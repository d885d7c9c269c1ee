"""Preferences: pairs of answers, held to what the model made of them before its first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from centime.data.preferences import PreferenceLoader
from centime.model import Transformer
from centime.recipe import Dpo, StageSection
from centime.train.engine import REFERENCE, LossShare, PreferenceObjective, Trainer
from centime.train.kinds.kind import LiveStage, StageKind
from centime.train.kinds.reference import ReferenceFile, key_of
from centime.train.stages import Batch, PackedRows, Rows, RowsAsked, own_share


class PreferenceRows(PackedRows):
    """A pair a row; `reference` [pairs, 2] goes beside it once it is known, zeros until then."""

    def __init__(self, loader: PreferenceLoader, mtp_depth: int) -> None:
        self.reference = torch.zeros(loader.samples // 2, 2)
        super().__init__(loader, mtp_depth)

    def batch_of(self, numbers: Sequence[int], rank: int, world: int) -> Batch:
        made = super().batch_of(numbers, rank, world)
        low, high = own_share(len(numbers), rank, world)
        assert made.weights is not None
        return Batch(
            rows=made.rows,
            weights=(made.weights > 0).float(),
            lengths=made.lengths,
            beside={**made.beside, REFERENCE: self.reference[list(numbers[low:high])]},
            loss_tokens=len(numbers),
            sequences=made.sequences,
            examples=made.examples,
            tokens=made.tokens,
        )


class DpoKind(StageKind):
    """Direct preference optimisation; as many rows as its epochs take."""

    def rows(self, asked: RowsAsked) -> PreferenceRows:
        section, recipe = asked.section, asked.recipe
        assert isinstance(section, Dpo)
        loader = PreferenceLoader(
            section.data, asked.tokenizer, section.sequence_length, recipe.seed, 1, section.too_long
        )
        return PreferenceRows(loader, recipe.model.num_nextn_predict_layers)

    def tokens(self, section: StageSection, rows: Rows) -> int:
        assert isinstance(section, Dpo)
        assert isinstance(rows, PreferenceRows)
        return round(section.epochs * rows.loader.pairs * section.sequence_length)

    def objective(self, model: Transformer, section: StageSection) -> PreferenceObjective:
        assert isinstance(section, Dpo)
        return PreferenceObjective(model, section)

    def forward_rows(self, rows: Rows) -> int:
        assert isinstance(rows, PreferenceRows)
        return rows.loader.pairs

    def begin(self, live: LiveStage) -> None:
        """The reference is the model as the stage begins: what it makes of every pair is computed once, and kept."""
        rows = live.plan.rows
        assert isinstance(rows, PreferenceRows)
        if live.timing:
            return
        path = live.folder / "reference" / f"{live.plan.name}.bin"
        file = ReferenceFile(path, key_of(live), rows.loader.pairs, begun=live.step > 0)
        if file.missing:
            live.say(f"{live.plan.name}: what the model makes of {file.missing:,} pairs before its first step is kept.")
        while file.missing:
            numbers = list(range(file.known, min(file.known + live.micro_batch, rows.loader.pairs)))
            file.add(_log_probabilities(live, rows, numbers), write=live.engine.rank == 0)
        rows.reference = file.values


@torch.no_grad()
def _log_probabilities(live: LiveStage, rows: PreferenceRows, numbers: list[int]) -> torch.Tensor:
    """[len(numbers), 2] float32 of pairs in the file's order; every rank computes them all."""
    objective = live.engine.objective
    assert isinstance(objective, PreferenceObjective)
    trainer = Trainer(live.engine, live.micro_batch, clip=1.0)
    share = LossShare(len(numbers), 2 * len(numbers), mtp_weight=0.0, balance_weight=0.0)
    batch = rows.batch_of(numbers, 0, 1)
    found = []
    for micro in trainer.micro_batches(batch):
        objective(micro, share)
        found.append(objective.log_probabilities.float().cpu())
    return torch.cat(found)[: len(numbers)]
