"""Stages whose answers are drawn while they train: reinforcement, and on-policy distillation."""

from centime.train.kinds import KINDS, StageKind
from centime.tune.stage.kind import RlKind
from centime.tune.stage.on_policy import OnPolicyDistilKind

__all__ = ["OnPolicyDistilKind", "RlKind", "every_kind"]


def every_kind() -> dict[str, StageKind]:
    """What each `kind` of a recipe's stages means, these among the others: for one run, as they keep what it begins."""
    return {**KINDS, "distil": OnPolicyDistilKind(), "rl": RlKind()}
