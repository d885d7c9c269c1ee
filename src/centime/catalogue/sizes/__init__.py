"""Models that nobody catalogued, from a few of their sizes: a row of a table of runs, or a line such as '16B-A3B'.

What is not said is filled in, and each such step is an assumption that a plan repeats.
"""

from centime.catalogue.sizes.derived import derived
from centime.catalogue.sizes.of_a_row import estimate
from centime.catalogue.sizes.stated import is_stated, read_stated, split_names

__all__ = ["derived", "estimate", "is_stated", "read_stated", "split_names"]
