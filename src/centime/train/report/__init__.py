"""`report.html`: the page of a run, made of its folder and its bill alone.

Nothing here trains: it reads what a run wrote, finished or not.
"""

from centime.train.report.page import render, write_report
from centime.train.report.read import RecordedRun, read_run

__all__ = ["RecordedRun", "read_run", "render", "write_report"]
