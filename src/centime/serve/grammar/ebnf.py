"""Writing grammars in xgrammar's EBNF, and checking that one admits something.

Characters are sets: sorted, disjoint ranges of code points. No token spells a control character (but tab, line feed and
carriage return): see `constraint.py`. What only such a character would fit, no answer can fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

from centime.errors import UserError

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
MAX_REPEAT = 100_000  # of one {m,n}: xgrammar's own counter wraps at 32 bits
UNWRITABLE: Ranges = ((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x7F), (0xD800, 0xDFFF))


def union(*sets: Ranges) -> Ranges:
    """The characters of any of the sets."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(one for ranges in sets for one in ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Every other character."""
    edges = [(-1, -1), *union(ranges), (LAST + 1, LAST + 1)]
    return tuple((before[1] + 1, after[0] - 1) for before, after in pairwise(edges) if before[1] + 1 < after[0])


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """The characters of the first set that are not in the second."""
    return complement(union(complement(ranges), taken))


def both(left: Ranges, right: Ranges) -> Ranges:
    """The characters of both sets."""
    return without(left, complement(right))


def of(text: str) -> Ranges:
    """The set of these characters."""
    return union(tuple((ord(one), ord(one)) for one in text))


def literal(text: str) -> str:
    """EBNF of exactly this text."""
    plain = (one if one.isascii() and one.isprintable() and one not in '"\\' else _escaped(ord(one)) for one in text)
    return f'"{"".join(plain)}"'


def one_of(ranges: Ranges) -> str:
    """EBNF of one character of a set that is not empty."""
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return literal(chr(ranges[0][0]))
    spans = (_edge(low) if low == high else f"{_edge(low)}-{_edge(high)}" for low, high in ranges)
    return f"[{''.join(spans)}]"


@cache
def matching(ranges: Ranges) -> re.Pattern[str]:
    """Finds one of the characters in a text."""
    return re.compile("[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]")


def writable(text: str, banned: Ranges = ()) -> bool:
    """Whether an answer can have this text as it is."""
    return not matching(union(UNWRITABLE, banned)).search(text)


def any_of(choices: Iterable[str]) -> str:
    """EBNF of any of several, at least one; in brackets."""
    return f"({' | '.join(choices)})"


def _edge(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else _escaped(code)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Rules:
    """Rules by name, in the order they came; `add` names them."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._added: dict[str, str] = {}
        self.places: dict[str, str] = {}  # what a rule stands for, to tell a client

    def reserve(self, place: str = "") -> str:
        """A name whose body follows, so that a rule can name itself."""
        name = f"r{len(self._bodies)}"
        self._bodies[name] = ""
        self.places[name] = place
        return name

    def define(self, name: str, body: str) -> str:
        """Gives a reserved name its body, or one of a caller's own choice."""
        self._bodies[name] = body
        return name

    def add(self, body: str) -> str:
        """The name of a rule with this body: a new one, or one that was added before."""
        if body not in self._added:
            self._added[body] = self.define(self.reserve(), body)
        return self._added[body]

    def text(self, root: str) -> str:
        """The grammar whose answers are those of the rule `root`."""
        return "\n".join([f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._bodies.items())])


# xgrammar's kinds of expressions in a grammar that it serialised; the others (dispatch on tags, tokens by number,
# patterns of another syntax) are for its own use.
_BYTES, _CLASS, _STAR, _EMPTY, _RULE, _SEQUENCE, _CHOICES, _REPEAT = 0, 1, 2, 3, 4, 5, 6, 8
_KNOWN = {_BYTES, _CLASS, _STAR, _EMPTY, _RULE, _SEQUENCE, _CHOICES, _REPEAT}
_QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*')


def check(text: str, places: dict[str, str] | None = None) -> None:
    """Raises UserError where a grammar in EBNF is not one, or some rule of it fits no finite text.

    places: what its rules stand for, in the client's words. A part that fits nothing would let an answer run into a
    dead end, so it is refused although another part may fit.
    """
    for bound in re.findall(r"\d+", " ".join(re.findall(r"\{[\d\s,]*\}", _QUOTED.sub(" ", text)))):
        if len(bound) > 7 or int(bound) > MAX_REPEAT:
            raise UserError(f"it repeats something more than {MAX_REPEAT:,} times")
    _Parsed(text).check(places or {})


class _Parsed:
    """A grammar as xgrammar reads it, before it is optimised."""

    def __init__(self, text: str) -> None:
        import xgrammar

        try:
            found = json.loads(xgrammar.Grammar.from_ebnf(text).serialize_json())
        except UnicodeEncodeError:
            raise UserError("it has half of a surrogate pair, which is no character") from None
        self._rules = found["rules"]  # [name, body, lookahead, ...]
        self._data, self._starts = found["grammar_expr_data"], found["grammar_expr_indptr"]
        self._root = found["root_rule_id"]

    def check(self, places: dict[str, str]) -> None:
        for rule in self._rules:
            if rule[2] != -1:
                raise UserError(f"the rule {rule[0]} looks ahead with (=...), which is not supported")
        for at in range(len(self._starts)):
            kind, data = self._expression(at)
            if kind not in _KNOWN:
                raise UserError("it uses a macro, such as TagDispatch(...) or Token(...), which is not supported")
            if kind == _BYTES and not _is_text(bytes(data)):
                raise UserError("it has bytes that are no UTF-8")
        for at in range(len(self._rules)):
            if self._is_only_itself(at):
                raise UserError(f"the rule {self._rules[at][0]} is nothing but itself, repeated")
        fitting = self._fitting()
        rules, choices = self._reached()
        for at in rules:
            if at not in fitting:
                what = places.get(self._rules[at][0]) or f"the rule {self._rules[at][0]}"
                raise UserError(f"{what} fits no text: it never ends, or needs a character that no answer can have")
        if not all(self._fits(one, fitting) for one in choices):
            raise UserError("one of its alternatives fits no text that an answer can be")

    def _expression(self, at: int) -> tuple[int, list[int]]:
        start = self._starts[at]
        length = self._data[start + 1]
        return self._data[start], self._data[start + 2 : start + 2 + length]

    def _is_only_itself(self, rule: int) -> bool:
        """Whether a rule is one rule repeated, that one another's, and so on back to it: compiling it never ends."""
        seen, repeated = set[int](), False
        while rule not in seen:
            seen.add(rule)
            kind, data = self._expression(self._rules[rule][1])
            while kind in {_SEQUENCE, _CHOICES} and len(data) == 1:
                kind, data = self._expression(data[0])
            if kind not in {_RULE, _REPEAT}:
                return False
            rule, repeated = data[0], repeated or kind == _REPEAT
        return repeated

    def _fitting(self) -> set[int]:
        """The rules that fit some finite text."""
        fitting: set[int] = set()
        order, before = list(range(len(self._rules))), -1
        while len(fitting) > before:
            before = len(fitting)
            for at in order:
                if at not in fitting and self._fits(self._rules[at][1], fitting):
                    fitting.add(at)
            order.reverse()  # rules mostly refer to those just before or after them
        return fitting

    def _fits(self, at: int, fitting: set[int]) -> bool:
        kind, data = self._expression(at)
        if kind == _BYTES:
            return writable(bytes(data).decode())
        if kind == _CLASS:
            ranges = tuple(zip(data[1::2], data[2::2], strict=True))
            return bool(without(complement(ranges) if data[0] else ranges, UNWRITABLE))
        if kind == _RULE:
            return data[0] in fitting
        if kind == _REPEAT:
            return data[1] == 0 or data[0] in fitting
        if kind == _SEQUENCE:
            return all(self._fits(part, fitting) for part in data)
        return any(self._fits(part, fitting) for part in data) if kind == _CHOICES else True

    def _reached(self) -> tuple[list[int], set[int]]:
        """The rules that the root leads to, nearest first, and the alternatives in them."""
        found, choices, known = [self._root], set[int](), {self._root}
        for at in found:  # grows
            waiting = [self._rules[at][1]]
            while waiting:
                kind, data = self._expression(waiting.pop())
                if kind in {_SEQUENCE, _CHOICES}:
                    waiting += data
                    choices |= set(data) if kind == _CHOICES else set()
                elif kind in {_RULE, _REPEAT} and data[0] not in known:
                    known.add(data[0])
                    found.append(data[0])
        return found, choices


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def times(least: int, most: int | None) -> str:
    """How often what stands before may come; most None: without end."""
    return "*" if (least, most) == (0, None) else f"{{{least},{'' if most is None else most}}}"
