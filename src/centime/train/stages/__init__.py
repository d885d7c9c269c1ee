"""What is trained on: a recipe as stages, the steps of each, and the rows of each step.

All of it is a pure function of the recipe, the data and the step's number; nothing here keeps a state.
"""

from centime.train.stages.batches import EXAMPLES, Batch, PackedRows, PairRows, Rows, StageRows, TextRows, own_share
from centime.train.stages.kind import RowsAsked, RowsKind
from centime.train.stages.resolved import resolve, stage_configs
from centime.train.stages.schedule import Schedule, StepSettings, make_schedule
from centime.train.stages.stage_plan import StagePlan, plan_stages, settle

__all__ = [
    "EXAMPLES",
    "Batch",
    "PackedRows",
    "PairRows",
    "Rows",
    "RowsAsked",
    "RowsKind",
    "Schedule",
    "StagePlan",
    "StageRows",
    "StepSettings",
    "TextRows",
    "make_schedule",
    "own_share",
    "plan_stages",
    "resolve",
    "settle",
    "stage_configs",
]
