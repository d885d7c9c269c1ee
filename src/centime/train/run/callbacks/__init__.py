"""What watches a run from outside the step: the progress bar, metrics.jsonl, TensorBoard. None of it changes a bit."""

from centime.train.run.callbacks.callback import Callback, Record
from centime.train.run.callbacks.metrics_file import MetricsFile
from centime.train.run.callbacks.progress import ProgressBar
from centime.train.run.callbacks.tensorboard import TensorBoard

__all__ = ["Callback", "MetricsFile", "ProgressBar", "Record", "TensorBoard"]
