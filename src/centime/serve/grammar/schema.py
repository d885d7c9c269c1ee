"""JSON schemas as grammars: every text that the grammar admits is JSON that fits the schema.

The grammar may be narrower than the schema: properties come in the order they are listed; an object that names some has
no others unless `additionalProperties` says which; numbers have at most 18 digits; a pattern is matched whole; JSON's
blanks come at most MAX_BLANKS in a row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from centime.errors import UserError
from centime.serve.grammar import numbers, pattern_nodes
from centime.serve.grammar.bounds import Bounds
from centime.serve.grammar.ebnf import (
    UNWRITABLE,
    Ranges,
    Rules,
    any_of,
    literal,
    matching,
    one_of,
    times,
    union,
    without,
)
from centime.serve.grammar.flat import (
    MAX_DEPTH,
    OF_TYPE,
    TYPES,
    Nothing,
    Schema,
    SchemaReader,
    count,
    number,
    refuse,
)
from centime.serve.grammar.objects import joined_members, members, other_key
from centime.serve.grammar.pattern_nodes import PLAIN, Node
from centime.serve.grammar.strings import Style, string
from centime.serve.grammar.unions import branches, types_of

# Models that run out of things to say like to go on with blanks, which JSON allows: DeepSeek's documentation warns of
# answers that never end. Enough for an indentation of eight levels by four.
MAX_BLANKS = 32
MAX_MULTIPLE = 200  # of multipleOf: the grammar counts remainders
MAX_LISTED = 1000  # multiples within bounds that are listed one by one


class SchemaGrammar:
    """Writes the rules of one schema's values into `rules`."""

    def __init__(self, schema: Any, banned: Ranges = ()) -> None:
        self.rules = rules = Rules()
        self.reader, self.banned = SchemaReader(schema), banned
        self._schema = schema
        self._known: dict[str, str | None] = {}
        self._depth = 0
        self.blanks = rules.add(f"[ \\n\\t]{{0,{MAX_BLANKS}}}")
        self._comma = rules.add(f'{self.blanks} "," {self.blanks}')
        self._colon = rules.add(f'{self.blanks} ":" {self.blanks}')
        # Half of a surrogate pair is no character, so \ud800 to \udfff are left out; others come as they are.
        hexadecimal = "[0-9a-fA-F]"
        unit = f'"u" ([0-9a-cA-CefEF] {hexadecimal}{{3}} | [dD] [0-7] {hexadecimal}{{2}})'
        # A rule that calls itself at its end is one that the compiler makes masks for beforehand; so are bounded
        # repetitions of one set of characters, and no others.
        character = one_of(without(PLAIN, banned))
        escape, tail = rules.add(f'["\\\\/bfnrt] | {unit}'), rules.reserve()
        rules.define(tail, f'"\\"" | {character} {tail} | "\\\\" {escape} {tail}')
        free = rules.add(f'"\\"" {tail}')
        self.style = Style(pattern_nodes.in_json(banned), free, character, quoted=True)
        self._scalars = {
            "number": rules.add(pattern_nodes.written(numbers.NUMBER, pattern_nodes.raw())),
            "integer": rules.add(pattern_nodes.written(numbers.INTEGER, pattern_nodes.raw())),
            "boolean": rules.add('"true" | "false"'),
            "null": rules.add('"null"'),
        }

    def root(self) -> str:
        """The rule of the whole schema. Raises UserError where it cannot be held, or admits nothing."""
        name = self.value(self._schema, "#")
        if name is None:
            raise UserError("it admits no value at all")
        return name

    def value(self, schema: Any, place: str) -> str | None:
        """The rule of a schema's values as JSON; None when it admits none."""
        if isinstance(schema, dict) and isinstance(schema.get("$ref"), str) and len(schema) == 1:
            schema, place = self.reader.resolve(schema["$ref"], place), schema["$ref"]
        key = f"{json.dumps(schema)}"
        if key in self._known:
            return self._known[key]
        if self._depth > MAX_DEPTH:
            raise UserError(f"it is nested more than {MAX_DEPTH} deep, or has an allOf or anyOf that refers to itself")
        self._depth += 1
        name = self._known[key] = self.rules.reserve(place)
        try:
            body = self._body(self.reader.flat(schema, place), place)
        except Nothing:
            body = None
        self._depth -= 1
        if body is None:
            self._known[key] = None
            # Whoever named it while it was being written refers to nothing too: the check of the grammar says so.
            self.rules.define(name, name)
        else:
            self.rules.define(name, body)
        return self._known[key]

    def _body(self, flat: Schema, place: str) -> str | None:
        if flat.get("anyOf") or flat.get("oneOf"):
            return self._branches(flat, place)
        kinds = kinds_of(flat)
        if "enum" in flat:
            return self._values(flat, kinds, place)
        bodies = [self._of_type(kind, flat, place) for kind in kinds]
        found = [body for body in bodies if body is not None]
        return " | ".join(dict.fromkeys(found)) if found else None

    def _branches(self, flat: Schema, place: str) -> str | None:
        groups = [*flat.get("anyOf", []), *flat.get("oneOf", [])]
        if len(groups) == 1 and len(flat) == 1:
            if "oneOf" in flat:
                list(branches(self.reader, flat, place))  # refuses branches that overlap
            names = [self.value(one, where) for one, where in groups[0]]
        else:
            names = []
            for branch, where in branches(self.reader, flat, place):
                body = self._body(branch, where)
                names.append(None if body is None else self.rules.define(self.rules.reserve(where), body))
        found = [name for name in names if name is not None]
        return " | ".join(dict.fromkeys(found)) if found else None

    def _values(self, flat: Schema, kinds: Sequence[str], place: str) -> str | None:
        beside = flat.keys() - {"enum", "type"}
        for name in sorted(beside):
            if (
                any(name in OF_TYPE.get("number" if kind == "integer" else kind, ()) for kind in kinds)
                or name == "format"
            ):
                refuse(name, place, "stands beside enum or const, which is not supported")
        values = [one for one in flat["enum"] if set(types_of(one)) & set(kinds)]
        texts = dict.fromkeys(literal(json_text(one, self.banned)) for one in values)
        return " | ".join(texts) if texts else None

    def _of_type(self, kind: str, flat: Schema, place: str) -> str | None:
        match kind:
            case "string":
                return string(flat, place, self.style)
            case "number" | "integer":
                return self._number(kind, flat, place)
            case "array":
                return self._array(flat, place)
            case "object":
                return self._object(flat, place)
        return self._scalars[kind]

    def _number(self, kind: str, flat: Schema, place: str) -> str | None:
        bounds = Bounds(flat, place)
        if "multipleOf" in flat:
            multiple = number(flat["multipleOf"], "multipleOf", place)
            if multiple <= 0:
                refuse("multipleOf", place, "must be above 0")
            if multiple != 1:
                return self._multiples(kind, multiple, bounds, place)
            kind = "integer"
        if not bounds:
            return self._scalars[kind]
        node = bounds.integers() if kind == "integer" else bounds.decimals()
        return None if node is None else pattern_nodes.written(node, pattern_nodes.raw())

    def _multiples(self, kind: str, multiple: float, bounds: Bounds, place: str) -> str | None:
        if kind == "number" or multiple != int(multiple):
            refuse("multipleOf", place, f"is {multiple} and is supported for integers, by integers, alone")
        low, high, step = bounds.first, bounds.last, int(multiple)
        if low is not None and high is not None:
            if (high - low) // step > MAX_LISTED:
                refuse("multipleOf", place, f"with bounds allows more than {MAX_LISTED:,} values")
            listed = [literal(str(one)) for one in range(-(-low // step) * step, high + 1, step)]
            return " | ".join(listed) if listed else None
        if (low, high) not in {(None, None), (0, None)} or step > MAX_MULTIPLE:
            refuse(
                "multipleOf", place, f"is supported up to {MAX_MULTIPLE}, and with both bounds, a minimum of 0 or none"
            )
        rests = [self.rules.reserve(place) for _ in range(step)]
        for rest, name in enumerate(rests):
            steps = [f'"{digit}" {rests[(rest * 10 + digit) % step]}' for digit in range(10)]
            self.rules.define(name, " | ".join(['""', *steps] if rest == 0 else steps))
        begun = any_of(f'"{digit}" {rests[digit % step]}' for digit in range(1, 10))
        return f'"0" | {begun}' if low == 0 else f'"0" | "-"? {begun}'

    def _array(self, flat: Schema, place: str) -> str | None:
        prefix = flat.get("prefixItems", [])
        if not isinstance(prefix, list):
            refuse("prefixItems", place, "must be a list of schemas")
        least, most = count(flat, "minItems", place, 0) or 0, count(flat, "maxItems", place)
        rest = flat.get("items", flat.get("unevaluatedItems", not prefix or least > len(prefix)))
        if flat.get("uniqueItems", False) is not False and (most is None or most > 1):
            refuse("uniqueItems", place)
        firsts: list[str] = []
        for at, one in enumerate(prefix):
            name = self.value(one, f"{place}/prefixItems/{at}")
            if name is None:
                most = at if most is None else min(at, most)
                break
            firsts.append(name)
        firsts = firsts if most is None else firsts[:most]
        other = None if most == len(firsts) else self.value(rest, f"{place}/items")
        if most is None and other is None:
            most = len(firsts)
        if most is not None and least > most:
            return None
        items = ""
        if other is not None:
            fewest, longest = max(least - len(firsts), 0), None if most is None else most - len(firsts)
            items = self._many(other, fewest, longest, begun=bool(firsts))
        for at in range(len(firsts) - 1, -1, -1):
            one = f"{self._comma} {firsts[at]} {items}" if at else f"{firsts[at]} {items}"
            items = one if at < least else f"({one})?"
        if not items:
            return f'"[" {self.blanks} "]"'
        inner = f"{self.rules.add(items[1:-2] if least == 0 else items)} {self.blanks}"
        return f'"[" {self.blanks} {f"({inner})?" if least == 0 else inner} "]"'

    def _many(self, item: str, least: int, most: int | None, *, begun: bool) -> str:
        """So many items with commas between; begun: with one before the first too. May be empty where least is 0."""
        more = f"({self._comma} {item})"
        if begun:
            return f"{more}{times(least, most)}"
        rest = item if most == 1 else f"{item} {more}{times(max(least - 1, 0), None if most is None else most - 1)}"
        return rest if least else f"({rest})?"

    def _object(self, flat: Schema, place: str) -> str | None:
        found = members(flat, place, self, self)
        if found is None:
            return None
        joined, may_be_empty = joined_members(self.rules, found, self._comma)
        if joined is None:
            return f'"{{" {self.blanks} "}}"' if may_be_empty else None
        inner = f"{joined} {self.blanks}"
        return f'"{{" {self.blanks} {f"({inner})?" if may_be_empty else inner} "}}"'

    def member(self, key: str, schema: Any, place: str) -> str | None:
        """One property of an object; None where its schema admits no value."""
        value = self.value(schema, place)
        return None if value is None else f"{key} {self._colon} {value}"

    def key(self, name: str) -> str:
        """A property's name."""
        return literal(json_text(name, self.banned))

    def pattern_key(self, pattern: Node) -> str:
        """A property's name that a pattern matches."""
        return f'"\\"" {pattern_nodes.written(pattern, self.style.spell)} "\\""'

    def other_key(self, names: Sequence[str]) -> str:
        """A property's name that is none of these; any string where there are none."""
        return other_key(self.rules, names, self.banned) if names else self.style.free


def kinds_of(flat: Schema) -> list[str]:
    """The types a flat schema asks for, or else those that its keywords speak of, or else all."""
    if "type" in flat:
        kinds = list(flat["type"])
        return [one for one in kinds if one != "integer" or "number" not in kinds]
    if "enum" in flat:
        return list(TYPES)
    spoken = [kind for kind, names in OF_TYPE.items() if flat.keys() & names]
    if not spoken and "format" in flat:
        spoken = ["string"]
    return spoken or [one for one in TYPES if one != "integer"]


def json_text(value: Any, banned: Ranges = ()) -> str:
    """JSON as an answer may have it: what no token spells, or is banned, is written as an escape."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    except ValueError:
        raise UserError("it has NaN or an infinite number, which JSON has not") from None
    return matching(union(UNWRITABLE, banned)).sub(lambda found: f"\\u{ord(found[0]):04x}", text)
