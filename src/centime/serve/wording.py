"""A client's words inside our own sentences: escaped and short, so that a message is one line of anybody's log."""

from __future__ import annotations

from typing import Any

LONGEST = 1000  # characters of a message
_QUOTED = 60  # characters of a text that is quoted; of a longer one its length is told


def plain(text: str, most: int = LONGEST) -> str:
    """The text on one line: what no terminal prints as itself (controls, line ends, U+202E) is escaped, as by repr."""
    cut = text if len(text) <= most else text[: most - 4] + " ..."
    return cut if cut.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in cut)


def in_words(value: Any) -> str:
    """A JSON value in a few words, at most 100 characters: 'hot', 2.5, null, a list of 3, an object."""
    if isinstance(value, str):
        return repr(value)[:100] if len(value) <= _QUOTED else f"a string of {len(value):,} characters"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        return f"a list of {len(value):,}" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "something that is no JSON"
