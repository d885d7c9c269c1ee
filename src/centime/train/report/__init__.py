"""`report.html`: the page of a run, made of its folder and its bill alone.

Nothing here trains: it reads what a run wrote, finished or not.
"""

from centime.train.report.page import render, write_report
from centime.train.report.read import Run, read_run

__all__ = ["Run", "read_run", "render", "write_report"]
