"""Which version of centime this is."""

from __future__ import annotations

import functools


@functools.cache
def version() -> str:
    """What the installed package says, or '0+source' in a source tree that was not installed."""
    from importlib import metadata  # on first use: it takes 60 ms to look

    try:
        return metadata.version("centime")
    except metadata.PackageNotFoundError:  # run with PYTHONPATH=src
        return "0+source"
