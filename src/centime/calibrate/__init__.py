"""Measures this machine, so that a plan for it starts from what it really does; the planner's only link to torch."""
