"""How weights move: AdamW for every parameter, or Muon for the matrices beside it.

An optimizer here has `step(lr)`, the `params` it moves and the `state` it keeps of each. ShardedMuon, for the ranks of
a run, is imported by itself: DTensor takes a second to import.
"""

from centime.train.optimizers.adamw import AdamW
from centime.train.optimizers.groups import Groups, build, group_parameters
from centime.train.optimizers.muon import Muon

__all__ = ["AdamW", "Groups", "Muon", "build", "group_parameters"]
