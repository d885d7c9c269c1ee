"""`centime meter`: the price of what runs on somebody else's engine."""

from __future__ import annotations

from centime.cli.meter.verb import meter

__all__ = ["meter"]
