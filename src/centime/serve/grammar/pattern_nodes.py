"""A regular expression as a tree: written as EBNF, its size, the lengths of the texts that it matches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from centime.errors import UserError
from centime.serve.grammar.ebnf import LAST, UNWRITABLE, Ranges, any_of, both, literal, of, one_of, union, without

MAX_SPELLED = 64  # characters that only an escape by number can write
SURROGATES: Ranges = ((0xD800, 0xDFFF),)


@dataclass(frozen=True)
class Chars:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Seq:
    """One after the other; none: the empty text."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Alt:
    """Any of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """`low` to `high` times, without end where high is None."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True)
class Anchor:
    """`^` or `$`, which `_unanchored` takes out."""

    sign: str


Node = Chars | Seq | Alt | Repeat | Anchor

Spelling = Callable[[Ranges], str]
"""EBNF of one character of a set; raises UserError when none of them can be written."""


_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
PLAIN = without(((0x20, LAST),), union(of('"\\'), UNWRITABLE))  # what may stand in a JSON string as it is


def in_json(banned: Ranges = ()) -> Spelling:
    """Characters as a JSON string has them; none of the banned ones. Escapes, where nothing else will do."""

    def spell(ranges: Ranges) -> str:
        if plain := without(both(ranges, PLAIN), banned):
            return one_of(plain)
        codes = [code for low, high in without(ranges, SURROGATES) for code in range(low, high + 1)]
        if not codes:
            raise UserError("it needs half of a surrogate pair, which is no character")
        return any_of(literal(f"\\{_SHORT.get(chr(code)) or f'u{code:04x}'}") for code in codes[:MAX_SPELLED])

    return spell


def raw(banned: Ranges = ()) -> Spelling:
    """Characters as they are; none of the banned ones."""

    def spell(ranges: Ranges) -> str:
        writable = without(ranges, union(UNWRITABLE, banned))
        if not writable:
            raise UserError("it needs a control character or another that the answer cannot have there")
        return one_of(writable)

    return spell


def written(node: Node, spell: Spelling) -> str:
    """EBNF of a pattern."""
    match node:
        case Chars(ranges):
            return spell(ranges)
        case Seq(parts):
            return f"({' '.join(written(part, spell) for part in parts)})" if parts else '""'
        case Alt(parts):
            return any_of(written(part, spell) for part in parts)
        case Repeat(part, 0, 0):
            return '""'
        case Repeat(part, low, high):
            times = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((low, high))
            return f"({written(part, spell)}){times or f'{{{low},{high}}}'.replace('None', '')}"
    raise AssertionError(node)


def size(node: Node) -> int:
    """Characters of the pattern with its repetitions written out."""
    match node:
        case Seq(parts) | Alt(parts):
            return sum(size(part) for part in parts)
        case Repeat(part, low, high):
            return size(part) * (low + 1 if high is None else high)
    return 1


def lengths(node: Node) -> tuple[int, int | None]:
    """Characters of the shortest and of the longest text that it matches; None: without end."""
    match node:
        case Chars():
            return 1, 1
        case Alt(parts):
            found = [lengths(part) for part in parts]
            longest = [most for _, most in found]
            return min(least for least, _ in found), None if None in longest else max(one or 0 for one in longest)
        case Seq(parts):
            found = [lengths(part) for part in parts]
            longest = [most for _, most in found]
            return sum(least for least, _ in found), None if None in longest else sum(one or 0 for one in longest)
        case Repeat(part, low, high):
            least, most = lengths(part)
            endless = most != 0 and (high is None or most is None)
            return least * low, None if endless else (most or 0) * (high or 0)
    return 0, 0
