"""A run of reinforcement: what is checked, the loop, what it leaves on disk and on the bill."""

from centime.tune.run.command import TunedRun, reinforce

__all__ = ["TunedRun", "reinforce"]
