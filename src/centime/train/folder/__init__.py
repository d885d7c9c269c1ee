"""What a run leaves on disk: its folder, its checkpoints, and where a stopped run goes on.

A file or a checkpoint is whole or absent, and what is damaged is named; a checkpoint can be used as a model.
"""

from centime.train.folder.checkpoints import META, Checkpoints, step_of, weights_in
from centime.train.folder.earlier import resolved
from centime.train.folder.origin import Origin, find_origin, require_adaptable, require_same_shapes, tokenizer_for
from centime.train.folder.progress import RunProgress
from centime.train.folder.resume import (
    BESIDE,
    Checkpoint,
    beside_of,
    info_of,
    is_moment,
    load_into,
    moments_fit,
    newest_good,
    order_of,
    read_checkpoint,
    require_base,
    require_place,
)
from centime.train.folder.run_folder import RunFolder, versions

__all__ = [
    "BESIDE",
    "META",
    "Checkpoint",
    "Checkpoints",
    "Origin",
    "RunFolder",
    "RunProgress",
    "beside_of",
    "find_origin",
    "info_of",
    "is_moment",
    "load_into",
    "moments_fit",
    "newest_good",
    "order_of",
    "read_checkpoint",
    "require_adaptable",
    "require_base",
    "require_place",
    "require_same_shapes",
    "resolved",
    "step_of",
    "tokenizer_for",
    "versions",
    "weights_in",
]
