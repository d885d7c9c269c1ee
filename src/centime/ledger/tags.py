"""Whose a request is, and what for, in its client's own words: kept with the request's row, for the bill to sort by.

A client writes what it likes: each name may be so many characters of printable text, and a ledger keeps so many
different ones a month of each key, all later ones together as OTHER (`tagged.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

MOST_VALUE = 128  # characters
MOST_TAGS = 16  # of one request
OTHER = "(other)"


@dataclass(frozen=True)
class RequestTags:
    """What a request says of itself; '' where it says nothing.

    team: as the client says; where its key stands in one, that one is meant. model: as it was asked for. other: all
    further ones, 'name=value' by name with commas between.
    """

    user: str = ""
    session: str = ""
    team: str = ""
    model: str = ""
    feature: str = ""
    other: str = ""


NO_TAGS = RequestTags()
TAG_NAMES = tuple(field.name for field in fields(RequestTags))
