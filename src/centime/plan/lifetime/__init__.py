"""Training and serving over a model's life, `centime plan lifetime`: the cheapest size of equal quality.

`plan_lifetime` answers a `LifetimeRequest`: laws of loss say what each size needs, the planner what it costs.
"""
