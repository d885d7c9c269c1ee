"""Stages whose answers are drawn while they train: reinforcement among others of a recipe, on-policy distillation."""

from centime.tune.stage.kind import RlKind
from centime.tune.stage.on_policy import OnPolicyDistilKind

__all__ = ["OnPolicyDistilKind", "RlKind"]
