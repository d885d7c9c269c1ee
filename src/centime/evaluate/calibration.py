"""A text run through a model, to learn which inputs of its matrices count before these are rounded to 4 bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from centime.evaluate.bits_per_byte import read_files
from centime.model.quantised.calibrate import importance
from centime.serve.loading import load_model

WINDOW = 512  # tokens in a row, or as many as the model sees
MOST = 65_536  # tokens of the text, from its beginning: means of squares are steady long before


def importance_on(folder: Path, text: Path, progress: Callable[[int, int], None]) -> dict[str, Tensor]:
    """`calibrate.importance` of the model in `folder` on a text file. `progress` hears windows done and in all.

    Raises UserError for a damaged model or text, as `load_model` and `read_files` do.
    """
    opened = load_model(folder)
    [document] = read_files([text], opened.tokenizer)[0].documents
    window = min(WINDOW, opened.model.config.max_position_embeddings)
    rows = torch.from_numpy(document[:MOST]).to(opened.model.head_weight.device).split(window)
    return importance(opened.model, (_heard(row[None], number, len(rows), progress) for number, row in enumerate(rows)))


def _heard(row: Tensor, number: int, of: int, progress: Callable[[int, int], None]) -> Tensor:
    progress(number, of)
    return row
