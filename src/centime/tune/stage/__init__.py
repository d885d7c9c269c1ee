"""Reinforcement as one stage among others of a recipe: its kind, its rows, its loop."""

from centime.tune.stage.kind import RlKind

__all__ = ["RlKind"]
