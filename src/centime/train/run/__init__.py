"""A run from its recipe to its saved model: checked, forecast, trained stage by stage, evaluated, metered, resumed.

`train` is the verb; `Setup` is all that is checked before a device is used, `TrainingRun` what is done then.
"""

from centime.train.run.command import TrainedRun, train
from centime.train.run.setup import AlreadyFinished, Setup
from centime.train.run.training_run import RunOutcome, TrainingRun

__all__ = ["AlreadyFinished", "RunOutcome", "Setup", "TrainedRun", "TrainingRun", "train"]
