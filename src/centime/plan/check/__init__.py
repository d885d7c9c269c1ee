"""The planner held against published runs, `centime plan check`: every row of a file predicted, errors summed up.

`check_file` takes a CSV; `training` and `serving` predict one row of each kind.
"""
