"""What a budget buys, rent against own, and what the answer depends on most: `centime plan budget`.

`plan_budget` answers a `BudgetRequest`; `finance` has the investor's figures.
"""
