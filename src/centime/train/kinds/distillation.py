"""Learning from a teacher: its folder is read when the stage is set up, and it computes beside the student."""

from __future__ import annotations

from pathlib import Path

import torch

from centime.catalogue.hf import model_folder
from centime.data.pairs import PairLoader
from centime.errors import UserError
from centime.model import Transformer
from centime.model.checkpoint import load
from centime.recipe import Distil, StageSection
from centime.train.kinds.distil_objective import DistilObjective
from centime.train.kinds.kind import StageKind
from centime.train.stages import PairRows, Rows, RowsAsked


class DistilKind(StageKind):
    """Samples as sft has them, one a row; the loss is how far the student's next tokens lie from the teacher's."""

    def __init__(self) -> None:
        self._read: tuple[Path, Transformer] | None = None  # of a run's stages with one teacher, and their timing

    def rows(self, asked: RowsAsked) -> PairRows:
        section, recipe = asked.section, asked.recipe
        assert isinstance(section, Distil)
        _check_tokenizer(section.teacher, asked)
        loader = PairLoader(section.data, asked.tokenizer, section.sequence_length, recipe.seed, 1, section.too_long)
        return PairRows(loader, recipe.model.num_nextn_predict_layers)

    def tokens(self, section: StageSection, rows: Rows) -> int:
        assert isinstance(section, Distil)
        assert isinstance(rows, PairRows)
        return round(section.epochs * rows.loader.pairs * section.sequence_length)

    def objective(self, model: Transformer, section: StageSection) -> DistilObjective:
        assert isinstance(section, Distil)
        return DistilObjective(model, section, self._teacher(model, section))

    def _teacher(self, model: Transformer, section: Distil) -> Transformer:
        """Raises UserError where the folder holds no model, or one of another vocabulary or of fewer positions."""
        device = model.head_weight.device
        if self._read is None or self._read[0] != section.teacher or self._read[1].head_weight.device != device:
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
            self._read = section.teacher, load(section.teacher, dtype=dtype, device=device, dense=True).eval()
        teacher = self._read[1]
        ours, theirs = model.config.vocab_size, teacher.config.vocab_size
        if ours != theirs:
            raise UserError(
                f"the teacher {section.teacher} has {theirs:,} tokens and the model {ours:,}; give one of the same "
                "vocabulary, or let it write answers and learn from these by sft."
            )
        if teacher.config.max_position_embeddings < section.sequence_length:
            raise UserError(
                f"the teacher {section.teacher} has {teacher.config.max_position_embeddings:,} positions, fewer than "
                f"sequence_length {section.sequence_length:,}; shorten the rows, or extend its context first."
            )
        return teacher


def _check_tokenizer(teacher: Path, asked: RowsAsked) -> None:
    """Raises UserError where the teacher's own tokenizer is another: equal ids would mean different text."""
    from centime.data.tokenizers import load_tokenizer

    folder = model_folder(teacher)
    if not (folder / "tokenizer.json").is_file():
        return
    if load_tokenizer(folder).sha256 != asked.tokenizer.sha256:
        raise UserError(
            f"the teacher {teacher} has another tokenizer than {asked.tokenizer.folder}; give one of the same, or "
            "let it write answers and learn from these by sft."
        )
