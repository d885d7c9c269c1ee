"""How fast the upstream answers, for the charge of an answer whose client left before any of it could be counted."""

from __future__ import annotations

_ASSUMED_NS = 10**8  # a token, before any answer has ended: ten tokens a second, a small server's pace
_FADE = 0.9  # what an answer's weight becomes with each one after it


class Pace:
    """Nanoseconds from an answer's beginning to its end, for each of its tokens: of the latest answers the most."""

    def __init__(self) -> None:
        self._ns = self._tokens = 0.0

    def ended(self, total_ns: int, tokens: float) -> None:
        """An answer of so many tokens ended. tokens: of each of its choices, which are made side by side."""
        if tokens > 0:
            self._ns = self._ns * _FADE + total_ns
            self._tokens = self._tokens * _FADE + tokens

    def tokens_in(self, total_ns: int) -> int:
        """How many tokens an answer has after so long, to a whole one."""
        each = self._ns / self._tokens if self._tokens else _ASSUMED_NS
        return int(total_ns / max(1.0, each))
