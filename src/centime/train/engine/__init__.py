"""The optimizer step: losses, gradients over micro-batches, update, balance; on one device or on the ranks of a run.

`Trainer` takes a step on a `TrainingEngine`, which alone knows of devices, precision and sharding.
"""

from centime.train.engine.adapted.device import AdaptedDevice, adapter_of, frozen_model, low_rank_settings
from centime.train.engine.balance import imbalance
from centime.train.engine.build import new_engine
from centime.train.engine.determinism import deterministic
from centime.train.engine.diagnosis import diagnose
from centime.train.engine.interface import MOMENTS, TrainingEngine
from centime.train.engine.loss import LossShare, MicroBatch, Objective
from centime.train.engine.packed import PackedObjective
from centime.train.engine.preference import REFERENCE, PreferenceObjective
from centime.train.engine.process_group import Ranks, device_of, from_first, group, ranks
from centime.train.engine.single import SingleDevice
from centime.train.engine.step import StepResult, Trainer

__all__ = [
    "MOMENTS",
    "REFERENCE",
    "AdaptedDevice",
    "LossShare",
    "MicroBatch",
    "Objective",
    "PackedObjective",
    "PreferenceObjective",
    "Ranks",
    "SingleDevice",
    "StepResult",
    "Trainer",
    "TrainingEngine",
    "adapter_of",
    "deterministic",
    "device_of",
    "diagnose",
    "from_first",
    "frozen_model",
    "group",
    "imbalance",
    "low_rank_settings",
    "new_engine",
    "ranks",
]
