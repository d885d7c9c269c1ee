"""What a budget buys, rent against own, and what the answer depends on most: `centime plan budget`.

`plan_budget` answers a `BudgetRequest`; `finance` has the investor's figures.
"""

from __future__ import annotations

from centime.plan.budget.inputs import BudgetRequest
from centime.plan.budget.plan import BudgetPlan, plan_budget

__all__ = ["BudgetPlan", "BudgetRequest", "plan_budget"]
