"""Supervised tuning on answers."""

from __future__ import annotations

from centime.data.pairs import PackedPairs, PairLoader
from centime.model import Transformer
from centime.recipe import Sft, StageSection
from centime.train.engine import Objective, PackedObjective
from centime.train.kinds.kind import StageKind
from centime.train.stages import PackedRows, PairRows, Rows, RowsAsked


class SftKind(StageKind):
    """Samples with the loss on the answers alone, one a row or several; as many rows as its epochs take."""

    def rows(self, asked: RowsAsked) -> PairRows:
        section, recipe = asked.section, asked.recipe
        assert isinstance(section, Sft)
        depth = recipe.model.num_nextn_predict_layers
        loader = PackedPairs if section.packing else PairLoader
        read = loader(section.data, asked.tokenizer, section.sequence_length, recipe.seed, 1, section.too_long)
        return PackedRows(read, depth) if isinstance(read, PackedPairs) else PairRows(read, depth)

    def tokens(self, section: StageSection, rows: Rows) -> int:
        assert isinstance(section, Sft)
        assert isinstance(rows, PairRows)
        return round(section.epochs * rows.loader.pairs * section.sequence_length)

    def objective(self, model: Transformer, section: StageSection) -> Objective:
        assert isinstance(section, Sft)
        return PackedObjective(model) if section.packing else Objective(model)
