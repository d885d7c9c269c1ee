"""Caps on what may be spent, as a tree: organisations, teams, keys, users, sessions; by the day, the month, for ever.

`targets` says whose a request is, `windows` which day or month it falls into, `lines` what it may take of each budget
over it and what it took, `alerts` who is told; `edit` and `tree` are for people.
"""
