"""Texts of a page whose lines break where a reader would break them: no figure from its unit, no date in two."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from centime.charts.kinds import Table

KEPT = "\u00a0"
_UNIT = re.compile(r"(?<=\d) (?=(?:[%–$€£¥]|[KMBTPEGµkm](?:Wh?|B|iB|s|o)?|Wh?|s|o|Md|min|h|days?|GPUs?)(?:[^\w%]|$))")
_TIMES = re.compile(r"(?<![^\s(–])x (?=\d)")
_WHOLE = re.compile(r"\(?\d{4}-\d\d(?:-\d\d)?\b[,;.)]*|(?<!\S)[-+]\S*\d\S*|\S*=\S*")
_SETTING = re.compile(r"(?<=,)|(?<==)(?=\w{8})")  # where settings may break: behind a comma, before a long value
_CODE = re.compile(r"`([^`]+)`")

LETTER, PADDING = 9, 16  # pixels of a table's letter, in a wide font, and of a cell beside its text
FIRST = 112  # the least of a first column
# Pixels of a page's column, and the class of the tables that need at most that: narrower pages stack their rows.
NEEDS = ((632, ""), (856, "wide"), (960, "broad"))


def unbroken(text: str) -> Markup:
    """The text as HTML: what stands between backticks as code, a figure beside its unit, a date in one piece."""
    parts = _CODE.split(str(text))
    return Markup("").join(command(part) if i % 2 else _sentence(part) for i, part in enumerate(parts))


def command(text: str) -> Markup:
    """A command as code that breaks between its words alone."""
    words = Markup(" ").join(Markup('<span class="whole">{}</span>').format(word) for word in text.split(" "))
    return Markup("<code>{}</code>").format(words)


def _sentence(text: str) -> Markup:
    kept = _TIMES.sub(f"x{KEPT}", _UNIT.sub(KEPT, text))
    out, at = Markup(""), 0
    for found in _WHOLE.finditer(kept):
        out += escape(kept[at : found.start()]) + _whole(found[0])
        at = found.end()
    return out + escape(kept[at:])


def _whole(piece: str) -> Markup:
    """A date or a signed figure in one piece; settings break between each other, and before a long value."""
    if "=" in piece:
        return Markup("<wbr>").join(map(escape, _SETTING.split(piece)))
    return Markup('<span class="whole">{}</span>').format(piece)


def room_of(table: Table) -> str:
    """The class of a table by the width that it needs for no piece to break."""
    columns = [[head, *(row[i] for row in table.rows if i < len(row))] for i, head in enumerate(table.head)]
    needed = [PADDING + LETTER * max(map(_longest, column)) for column in columns]
    width = max(FIRST, needed[0]) + sum(needed[1:]) if needed else 0
    return next((kind for most, kind in NEEDS if width <= most), "widest")


def _longest(cell: str) -> int:
    """Letters of the longest piece of a cell that does not break."""
    kept = _TIMES.sub(f"x{KEPT}", _UNIT.sub(KEPT, str(cell)))
    return max(len(piece) for word in kept.split(" ") for piece in _SETTING.split(word))
