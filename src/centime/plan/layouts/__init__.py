"""Which layout of a model over the chips is the fastest that fits: what can be tried, what each takes, the search.

`search` looks through all of them; `usual` has what a careful owner would take, `longer` the stages of long sequences.
"""

from __future__ import annotations

from centime.plan.layouts.search import SearchResult, search

__all__ = ["SearchResult", "search"]
