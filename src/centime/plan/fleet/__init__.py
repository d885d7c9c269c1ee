"""Demand over years to GPUs, power and money by month, `centime plan fleet`, in futures drawn from a scenario.

`plan_fleet` answers for a scenario's name or file; what a GPU costs and does is in `build_cost` and `productivity`.
"""
