"""Stages of text: pre-training, and its extension to longer sequences."""

from __future__ import annotations

from centime.recipe import Context, Pretrain, StageSection
from centime.train.kinds.kind import StageKind
from centime.train.stages import Rows, RowsAsked, TextRows, make_schedule


class TextKind(StageKind):
    """Packed rows of the recipe's shards, each stage's after those that the stages before have taken."""

    text = True

    def rows(self, asked: RowsAsked) -> TextRows:
        section, recipe = asked.section, asked.recipe
        stated = int(make_schedule(section, _stated(section)).rows.sum())
        depth = recipe.model.num_nextn_predict_layers
        sources, length = recipe.data.train, section.sequence_length
        rows = TextRows(sources, length, recipe.seed, depth, asked.position, stated, asked.order)
        rows.loader.require_tokenizer(asked.tokenizer)
        return rows

    def tokens(self, section: StageSection, rows: Rows) -> int:
        return _stated(section)


def _stated(section: StageSection) -> int:
    assert isinstance(section, Pretrain | Context)
    assert section.tokens is not None  # filled in where the recipe is resolved
    return section.tokens
