"""The comparison of two revisions finds what differs, and lets pass what a sum in another order changes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "scripts" / "same_as.py"
spec = importlib.util.spec_from_file_location("same_as", PATH)
assert spec is not None
assert spec.loader is not None
same_as = importlib.util.module_from_spec(spec)
sys.modules["same_as"] = same_as
spec.loader.exec_module(same_as)

BEFORE = '{"cost": 1.25, "steps": [1, 2], "hashes": {"a": "1"}, "said": "made 2026-01-01T10:00:00 by 0123456789abcdef"}'


def compared(after: str) -> list[str]:
    return list(same_as.differences(same_as.normal(0, BEFORE), same_as.normal(0, after)))


def test_what_may_differ() -> None:
    assert compared(BEFORE.replace("1.25", "1.2500000000001").replace('"1"', '"2"').replace("10:00", "11:30")) == []


def test_what_may_not() -> None:
    assert compared(BEFORE.replace("1.25", "1.26")) == ["[1].cost: 1.25 -> 1.26"]
    assert compared(BEFORE.replace("[1, 2]", "[1, 3]")) == ["[1].steps[1]: '2' -> '3'"]
    assert compared(BEFORE.replace('"cost"', '"price"')) == ["[1].cost: gone", "[1].price: new"]
    assert compared("no JSON")
    assert list(same_as.differences(same_as.normal(0, "a"), same_as.normal(2, "a"))) == ["[0]: '0' -> '2'"]
