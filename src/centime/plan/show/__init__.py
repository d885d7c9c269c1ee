"""How a plan is shown, whatever it says: as text in a terminal, as a page with charts, in English or French.

A report makes `sections`; nothing that computes imports this room.
"""

from __future__ import annotations

from centime.plan.show.language import LANGUAGES, writer

__all__ = ["LANGUAGES", "writer"]
