"""Models, chips or layouts side by side, `centime plan compare`.

`compare` answers a `CompareRequest` by planning the training and the serving of each column.
"""

from __future__ import annotations

from centime.plan.compare.plan import Comparison, compare
from centime.plan.compare.request import CompareRequest

__all__ = ["CompareRequest", "Comparison", "compare"]
