"""Rewards by math-verify, which compares what two formulas mean.

Loaded by worker.py as a user's file is, in whose process it may hang; it imports nothing of ours.
"""

from __future__ import annotations

from typing import Any


def reward(prompt: str, answer: str, row: dict[str, Any]) -> float:
    """1 where the last formula or number of an answer equals the right one."""
    from math_verify import parse, verify

    right = parse(f"${row['right']}$", parsing_timeout=None) or parse(row["right"], parsing_timeout=None)
    return float(verify(right, parse(answer, parsing_timeout=None), timeout_seconds=None))
