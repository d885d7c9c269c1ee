"""The strings that a JSON schema admits: any, of a length, of a pattern or of a format."""

from __future__ import annotations

import json
from dataclasses import dataclass

from centime.errors import UserError
from centime.serve.grammar import patterns, string_formats
from centime.serve.grammar.ebnf import MAX_REPEAT, times
from centime.serve.grammar.flat import Schema, count, refuse
from centime.serve.grammar.patterns import Chars, Node, Repeat


@dataclass(frozen=True)
class Style:
    """How a text is written where it is not JSON: in a tag's parameter, say."""

    spell: patterns.Spelling
    free: str  # EBNF of any string
    character: str  # EBNF of one of its characters
    quoted: bool  # a string has quotes around it


def string(flat: Schema, place: str, style: Style) -> str | None:
    """EBNF of the strings that a flat schema admits."""
    least, most = count(flat, "minLength", place, 0) or 0, count(flat, "maxLength", place)
    if most is not None and least > most:
        return None
    pattern, form = flat.get("pattern"), flat.get("format")
    if isinstance(form, str) and form in string_formats.SAY_NOTHING:
        form = None
    if form is not None and (not isinstance(form, str) or form not in string_formats.PATTERNS):
        refuse("format", place, f"is {json.dumps(form)[:60]}, which is not supported")
    if pattern is not None and form is not None:
        refuse("pattern", place, "stands beside format, which is not supported")
    source = pattern if pattern is not None else string_formats.PATTERNS[form] if form is not None else None
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
            body = patterns.written(node, style.spell)
        except UserError as error:
            if str(error).startswith("'"):
                raise
            refuse("pattern" if pattern is not None else "format", place, f"cannot be held: {error}")
    return f'"\\"" {body} "\\""' if style.quoted else body


def _within(node: Node, least: int, most: int | None) -> Node | None:
    """The pattern where it keeps the lengths, or one that does; None when that cannot be written simply."""
    shortest, longest = patterns.lengths(node)
    if least <= shortest and (most is None or (longest is not None and longest <= most)):
        return node
    while isinstance(node, patterns.Seq):
        parts = [one for one in node.parts if one != patterns.Seq()]
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
