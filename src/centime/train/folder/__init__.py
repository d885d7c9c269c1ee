"""What a run leaves on disk: its folder, its checkpoints, and where a stopped run goes on.

A file or a checkpoint is whole or absent, and what is damaged is named; a checkpoint can be used as a model.
"""

from centime.train.folder.checkpoints import META, Checkpoints, weights_in
from centime.train.folder.progress import RunProgress
from centime.train.folder.resume import (
    Checkpoint,
    info_of,
    load_into,
    newest_good,
    order_of,
    read_checkpoint,
    require_place,
)
from centime.train.folder.run_folder import RunFolder, versions

__all__ = [
    "META",
    "Checkpoint",
    "Checkpoints",
    "RunFolder",
    "RunProgress",
    "info_of",
    "load_into",
    "newest_good",
    "order_of",
    "read_checkpoint",
    "require_place",
    "versions",
    "weights_in",
]
