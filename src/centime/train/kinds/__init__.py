"""What a stage is, kind by kind: its rows, its loss, and what it does on the model before its first step.

`KINDS` are those of this house, by the `kind` that a recipe names; a kind from outside is given to the run beside them.
"""

from centime.train.kinds.distillation import DistilKind
from centime.train.kinds.kind import LiveStage, StageKind
from centime.train.kinds.preference import DpoKind
from centime.train.kinds.text import TextKind
from centime.train.kinds.tuning import SftKind

KINDS: dict[str, StageKind] = {
    "pretrain": TextKind(),
    "context": TextKind(),
    "sft": SftKind(),
    "dpo": DpoKind(),
    "distil": DistilKind(),
}

__all__ = ["KINDS", "DistilKind", "LiveStage", "StageKind"]
