"""Training: the step, the loop around it, optimizers, schedules, parallelism from outside, saved state, the report."""
