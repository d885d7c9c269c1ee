"""Which layout of a model over the chips is the fastest that fits: what can be tried, and the search.

`search` looks through all of them, or a `Grid` of them; `usual` has what a careful owner would take, `longer` what long
sequences ask.
"""
