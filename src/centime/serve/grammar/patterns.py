"""Regular expressions as grammars: the syntax that ECMA-262 and Python's `re` read alike, without look-around.

A pattern is matched whole. `^` and `$` may stand where they say nothing more than that: at the two ends.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NoReturn

from centime.errors import UserError
from centime.serve.grammar.ebnf import (
    LAST,
    MAX_REPEAT,
    Ranges,
    complement,
    of,
    union,
)
from centime.serve.grammar.pattern_nodes import Alt, Anchor, Chars, Node, Repeat, Seq, size

MAX_SIZE = 20_000  # characters of a pattern with its repetitions written out


def parse(pattern: str) -> Node:
    """The pattern as a tree, without its anchors. Raises UserError that names what is not supported."""
    node = _unanchored(_Parser(pattern).parse(), first=True, last=True)
    if size(node) > MAX_SIZE:
        raise UserError(f"with its repetitions written out it has more than {MAX_SIZE:,} characters")
    return node


def _unanchored(node: Node, *, first: bool, last: bool) -> Node:
    match node:
        case Anchor(sign):
            if not (first if sign == "^" else last):
                raise UserError(f"'{sign}' is supported only at the {'beginning' if sign == '^' else 'end'}")
            return Seq()
        case Seq(parts):
            opening = next((at for at, one in enumerate(parts) if one != Anchor("^")), len(parts))
            closing = next((at for at, one in enumerate(reversed(parts)) if one != Anchor("$")), len(parts))
            return Seq(
                tuple(
                    _unanchored(part, first=first and at <= opening, last=last and at >= len(parts) - 1 - closing)
                    for at, part in enumerate(parts)
                )
            )
        case Alt(parts):
            return Alt(tuple(_unanchored(part, first=first, last=last) for part in parts))
        case Repeat(part, low, high):
            return Repeat(_unanchored(part, first=False, last=False), low, high)
    return node


_DIGITS: Ranges = ((0x30, 0x39),)
_WORD = union(_DIGITS, ((0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)))
_BLANKS = of("\t\n\v\f\r ")
_NEWLINES = of("\n\r\u2028\u2029")
_NOT_ASCII: Ranges = ((0x80, LAST),)


@cache
def _class(letter: str) -> tuple[Ranges, Ranges]:
    """What \\d, \\w, \\s and their opposites are in every dialect, and what they are in any: some know Unicode's."""
    if letter.isupper():
        narrow, wide = _class(letter.lower())
        return complement(wide), complement(narrow)
    if letter == "w":
        return _WORD, union(_WORD, _NOT_ASCII)
    known, belongs = (_DIGITS, str.isdecimal) if letter == "d" else (_BLANKS, str.isspace)
    others = tuple((code, code) for code in range(LAST + 1) if belongs(chr(code)))
    return known, union(known, others, of("\ufeff") if letter == "s" else ())


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text, self._at, self._depth = pattern, 0, 0

    def parse(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._text):
            self._refuse("an unbalanced ')'")
        return node

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(f"{what} at character {self._at + 1} is not supported")

    def _take(self, expression: str) -> re.Match[str] | None:
        found = re.compile(expression, re.DOTALL).match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _alternatives(self) -> Node:
        parts = [self._sequence()]
        while self._take(r"\|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Alt(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        found = self._take(r"[*+?]|\{(\d*)(,?)(\d*)\}")
        if not found:
            return node
        if isinstance(node, Anchor):
            self._refuse(f"repeating {node.sign!r}")
        sign = found[0]
        if sign in "*+?":
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        elif not found[1] or len(found[1] + found[3]) > 12:
            self._refuse(f"the repetition {sign!r}")
        else:
            low = int(found[1])
            high = low if not found[2] else int(found[3]) if found[3] else None
            if max(low, high or 0) > MAX_REPEAT or (high is not None and high < low):
                self._refuse(f"the repetition {sign!r}")
        self._take(r"\?")  # as few as possible: the same texts
        if self._take(r"[*+?]|\{\d*,?\d*\}"):
            self._refuse("a repetition of a repetition")
        return Repeat(node, low, high)

    def _atom(self) -> Node:
        if self._take(r"\((?!\?)|\(\?:|\(\?P?<[A-Za-z_]\w*>"):
            self._depth += 1
            if self._depth > 50:
                self._refuse("a group nested more than 50 deep")
            node = self._alternatives()
            if not self._take(r"\)"):
                self._refuse("Unclosed '('")
            self._depth -= 1
            return Seq((node,)) if isinstance(node, Anchor) else node
        if found := self._take(r"\(\?.?.?"):
            self._at = found.start()
            looks = {"(?=": "lookahead", "(?!": "lookahead", "(?<": "lookbehind"}
            self._refuse(f"{looks.get(found[0][:3], 'the group')} {found[0]!r}")
        if found := self._take(r"[\^$]"):
            return Anchor(found[0])
        if self._take(r"\."):
            return Chars(complement(_NEWLINES))
        if self._take(r"\["):
            return Chars(self._set())
        if self._take(r"\\"):
            narrow, _ = self._escape(in_set=False)
            return Chars(narrow)
        if found := self._take(r"[*+?]|\{\d*,?\d*\}"):
            self._at = found.start()
            self._refuse(f"{found[0]!r} with nothing to repeat")
        character = self._text[self._at]
        self._at += 1
        return Chars(self._one(character))

    def _one(self, character: str) -> Ranges:
        if 0xD800 <= ord(character) <= 0xDFFF:
            self._refuse("half of a surrogate pair")
        return of(character)

    def _set(self) -> Ranges:
        begun = self._at
        negative = bool(self._take(r"\^"))
        narrow: Ranges = ()
        wide: Ranges = ()
        while not self._take(r"\]"):
            if self._at >= len(self._text):
                self._at = begun - 1
                self._refuse("Unclosed '['")
            low = self._member()
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = self._member() if self._at < len(self._text) else low
                if not (_single(low[0]) and _single(high[0])) or low[0][0][0] > high[0][0][0]:
                    self._refuse("a range of characters that is none")
                low = (((low[0][0][0], high[0][0][0]),),) * 2
            narrow, wide = union(narrow, low[0]), union(wide, low[1])
        found = complement(wide) if negative else narrow
        if not found:
            self._refuse("a set without characters")
        return found

    def _member(self) -> tuple[Ranges, Ranges]:
        if self._take(r"\\"):
            return self._escape(in_set=True)
        if self._take(r"\[[:.=]") or self._take(r"&&|\|\||~~|--"):
            self._refuse("an operator in a set")
        character = self._text[self._at]
        self._at += 1
        return (self._one(character),) * 2

    def _escape(self, *, in_set: bool) -> tuple[Ranges, Ranges]:
        if found := self._take(r"[dswDSW]"):
            return _class(found[0])
        if found := self._take(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})"):
            return (self._one(chr(int(found[1] or found[2], 16))),) * 2
        if found := self._take(r"[tnrfv0](?!\d)"):
            return (of(dict(zip("tnrfv0", "\t\n\r\f\v\0", strict=True))[found[0]]),) * 2
        if found := self._take(r"[^\w]"):
            return (self._one(found[0]),) * 2
        if self._at >= len(self._text):
            self._refuse("a backslash at the end")
        names = {"b": "word boundary", "B": "word boundary", "p": "Unicode property", "P": "Unicode property"}
        sign = self._text[self._at]
        what = "backreference" if sign.isdigit() or sign == "k" else names.get(sign, "escape")
        self._refuse(f"the {what} '\\{sign}'{' in a set' if in_set else ''}")


def _single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]
