"""The strings that a JSON schema admits: any, of a length, of a pattern or of a format.

A format that is not listed is refused. Each fits texts that RFC 3339, RFC 4122, RFC 5321, RFC 1123, RFC 2673, RFC 4291,
RFC 3986 and ISO 8601 allow, not all of them: an e-mail address without quotes, an IPv6 address in full.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from centime.errors import UserError
from centime.serve.grammar import pattern_nodes, patterns
from centime.serve.grammar.ebnf import MAX_REPEAT, times
from centime.serve.grammar.flat import Schema, count, refuse
from centime.serve.grammar.pattern_nodes import Chars, Node, Repeat

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_HOUR = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{_HOUR})"
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,5}}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PATH = "(?:/[A-Za-z0-9._~-]*)*"
_URI = (
    rf"https?://{_HOST}(?::[1-9][0-9]{{0,3}})?{_PATH}"
    r"(?:\?[A-Za-z0-9._~=&+-]*)?(?:#[A-Za-z0-9._~-]*)?"
)
_AMOUNT = "[0-9]{1,9}"
_CLOCK = f"T(?:{_AMOUNT}H(?:{_AMOUNT}M(?:{_AMOUNT}S)?)?|{_AMOUNT}M(?:{_AMOUNT}S)?|{_AMOUNT}S)"
_DAYS = f"(?:{_AMOUNT}Y(?:{_AMOUNT}M(?:{_AMOUNT}D)?)?|{_AMOUNT}M(?:{_AMOUNT}D)?|{_AMOUNT}D)"

FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": f"P(?:{_AMOUNT}W|{_DAYS}(?:{_CLOCK})?|{_CLOCK})",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"[A-Za-z0-9_+-]{{1,32}}(?:\.[A-Za-z0-9_+-]{{1,16}}){{0,1}}@{_LABEL}(?:\.{_LABEL}){{1,3}}",
    "hostname": _HOST,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "ipv6": "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
    "uri": _URI,
}
SAY_NOTHING = {"password"}  # formats that no text could break


@dataclass(frozen=True)
class Style:
    """How a text is written where it is not JSON: in a tag's parameter, say."""

    spell: pattern_nodes.Spelling
    free: str  # EBNF of any string
    character: str  # EBNF of one of its characters
    quoted: bool  # a string has quotes around it


def string(flat: Schema, place: str, style: Style) -> str | None:
    """EBNF of the strings that a flat schema admits."""
    least, most = count(flat, "minLength", place, 0) or 0, count(flat, "maxLength", place)
    if most is not None and least > most:
        return None
    pattern, form = flat.get("pattern"), flat.get("format")
    if isinstance(form, str) and form in SAY_NOTHING:
        form = None
    if form is not None and (not isinstance(form, str) or form not in FORMATS):
        refuse("format", place, f"is {json.dumps(form)[:60]}, which is not supported")
    if pattern is not None and form is not None:
        refuse("pattern", place, "stands beside format, which is not supported")
    source = pattern if pattern is not None else FORMATS[form] if form is not None else None
    if source is None:
        if not least and most is None:
            return style.free
        if max(least, most or 0) > MAX_REPEAT:
            refuse("maxLength" if most else "minLength", place, f"is above {MAX_REPEAT:,}")
        body = f"{style.character}{times(least, most)}"
    else:
        if not isinstance(source, str):
            refuse("pattern", place, "must be a text")
        try:
            node = _within(patterns.parse(source), least, most)
            if node is None:
                refuse("pattern", place, "stands beside minLength or maxLength that it does not keep by itself")
            body = pattern_nodes.written(node, style.spell)
        except UserError as error:
            if str(error).startswith("'"):
                raise
            refuse("pattern" if pattern is not None else "format", place, f"cannot be held: {error}")
    return f'"\\"" {body} "\\""' if style.quoted else body


def _within(node: Node, least: int, most: int | None) -> Node | None:
    """The pattern where it keeps the lengths, or one that does; None when that cannot be written simply."""
    shortest, longest = pattern_nodes.lengths(node)
    if least <= shortest and (most is None or (longest is not None and longest <= most)):
        return node
    while isinstance(node, pattern_nodes.Seq):
        parts = [one for one in node.parts if one != pattern_nodes.Seq()]
        if len(parts) != 1:
            return None
        node = parts[0]
    if not isinstance(node, Repeat) or not isinstance(node.part, Chars):
        return None
    low, high = (
        max(node.low, least),
        min(one for one in (node.high, most) if one is not None) if most or node.high else None,
    )
    return Repeat(node.part, low, high) if high is None or low <= high else None
