"""Supervised tuning on answers."""

from __future__ import annotations

from centime.recipe import Sft, StageSection
from centime.train.kinds.kind import StageKind
from centime.train.stages import PairRows, Rows, RowsAsked


class SftKind(StageKind):
    """One pair a row, with the loss on the answer alone; as many rows as its epochs take."""

    def rows(self, asked: RowsAsked) -> PairRows:
        section, recipe = asked.section, asked.recipe
        assert isinstance(section, Sft)
        depth = recipe.model.num_nextn_predict_layers
        return PairRows(section.data, asked.tokenizer, section.sequence_length, recipe.seed, depth)

    def tokens(self, section: StageSection, rows: Rows) -> int:
        assert isinstance(section, Sft)
        assert isinstance(rows, PairRows)
        return round(section.epochs * rows.loader.pairs * section.sequence_length)
