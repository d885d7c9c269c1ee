"""centime's kernels for processors: the library, and the version of centime whose interface it has."""

from pathlib import Path

__version__ = "0.1.0"
LIBRARY = Path(__file__).with_name("libcentime.so")
