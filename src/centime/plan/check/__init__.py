"""The planner held against published runs, `centime plan check`: every row of a file predicted, errors summed up.

`check_file` takes a CSV; `training` and `serving` predict one row of each kind.
"""

from __future__ import annotations

from centime.plan.check.plan import Check, check_file

__all__ = ["Check", "check_file"]
