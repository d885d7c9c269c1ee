"""From nothing to a small trained model, its bill and its answers: what `make quickstart` runs."""

from centime.quickstart.quickstart import quickstart

__all__ = ["quickstart"]
