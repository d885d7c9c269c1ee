"""A run from its recipe to its saved model: checked, forecast, trained stage by stage, evaluated, metered, resumed.

`train` is the verb; `Setup` is all that is checked before a device is used, `TrainingRun` what is done then.
"""

from centime.train.run.command import Trained, train
from centime.train.run.setup import Finished, Setup
from centime.train.run.training_run import Outcome, TrainingRun

__all__ = ["Finished", "Outcome", "Setup", "Trained", "TrainingRun", "train"]
