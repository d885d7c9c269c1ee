"""A training run, `centime plan train`: its stages, the time that failures take, chip-hours and money.

`plan_training` answers a `TrainingRequest`; `searched_step` prices the many runs that others compare with.
"""
