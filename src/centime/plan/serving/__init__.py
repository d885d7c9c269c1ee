"""What serves a demand, `centime plan serve`: a roofline of a unit's step, the units that keep the limits, their money.

`plan_serving` answers a `ServingRequest`; the constants that the roofline was fitted with are in `constants.json`.
"""
