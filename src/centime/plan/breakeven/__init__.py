"""One's own fleet against an API, `centime plan breakeven`.

`plan_breakeven` answers a `BreakevenRequest`: from how many tokens a day on the fleet, rented or bought, costs less.
"""
