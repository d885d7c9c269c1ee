"""What an object may hold, whatever its members are written as."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from centime.errors import UserError
from centime.serve.grammar import patterns
from centime.serve.grammar.ebnf import UNWRITABLE, Ranges, Rules, both, complement, literal, of, one_of, union, without
from centime.serve.grammar.flat import Schema, count, refuse
from centime.serve.grammar.pattern_nodes import Node


class Writes(Protocol):
    """How a member is written: as JSON, or as a tag."""

    def key(self, name: str) -> str:
        """EBNF of a property's name."""

    def other_key(self, names: Sequence[str]) -> str:
        """EBNF of a key that is none of these."""

    def member(self, key: str, schema: Any, place: str) -> str | None:
        """EBNF of a property from its key's; None where the schema admits no value."""


class Keys(Protocol):
    """Keys that are not held to names alone: JSON has them, tags do not."""

    def pattern_key(self, pattern: Node) -> str:
        """EBNF of a key that a pattern matches."""

    def value(self, schema: Any, place: str) -> str | None:
        """EBNF of the keys that a schema admits; None where it admits none."""


@dataclass
class Members:
    """What an object may hold: properties in order, (EBNF, whether required) each, then any number of `other`."""

    named: list[tuple[str, bool]] = field(default_factory=list)
    other: str | None = None
    most: int | None = None  # of `other`
    some: bool = False  # at least one member


def members(flat: Schema, place: str, writes: Writes, keys: Keys | None = None) -> Members | None:
    """The members of a flat schema's objects; None when it admits no object.

    keys: writes those under `propertyNames` and `patternProperties`; None where keys are held to their names alone.
    """
    named, required = flat.get("properties", {}), flat.get("required", [])
    if not isinstance(named, dict):
        refuse("properties", place, "must be an object")
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        refuse("required", place, "must be a list of names")
    found = Members()
    by_pattern = flat.get("patternProperties", {})
    rest, stated = _others(flat, closed=bool(named or by_pattern))
    properties = {**named, **{name: rest if stated else True for name in required if name not in named}}
    key: str | None = None
    if by_pattern:
        if keys is None:
            refuse("patternProperties", place)
        key, rest = _patterned(by_pattern, rest if stated else False, properties, place, keys)
    if "propertyNames" in flat:
        if properties or by_pattern or keys is None:
            refuse("propertyNames", place, "stands beside named properties, or in a tag, which is not supported")
        key = keys.value({"allOf": [flat["propertyNames"], {"type": "string"}]}, f"{place}/propertyNames")
        rest = False if key is None else rest
    for name, schema in properties.items():
        body = writes.member(writes.key(name), schema, f"{place}/properties/{name}")
        if body is not None:
            found.named.append((body, name in required))
        elif name in required:
            return None
    if rest is not False:
        key = writes.other_key(tuple(properties)) if key is None else key
        found.other = writes.member(key, rest, f"{place}/additionalProperties")
    return _counted(found, flat, place)


def _others(flat: Schema, *, closed: bool) -> tuple[Any, bool]:
    """The schema of properties without a name, and whether the client gave one."""
    for name in ("additionalProperties", "unevaluatedProperties"):
        if name in flat:
            return flat[name], True
    return not closed, False


def _patterned(by_pattern: Any, rest: Any, properties: dict[str, Any], place: str, keys: Keys) -> tuple[str, Any]:
    """EBNF of the keys that the one pattern admits, and their schema."""
    if not isinstance(by_pattern, dict) or len(by_pattern) != 1:
        refuse("patternProperties", place, "is supported with one pattern")
    if rest is not False:
        refuse("additionalProperties", place, "beside patternProperties is supported as false")
    ((pattern, schema),) = by_pattern.items()
    try:
        key = keys.pattern_key(patterns.parse(pattern))
    except UserError as error:
        refuse("patternProperties", place, f"cannot be held: {error}")
    for name in properties:
        if re.search(pattern, name):
            refuse("patternProperties", place, f"has a pattern that fits the named property {json.dumps(name)}")
    return key, schema


def _counted(found: Members, flat: Schema, place: str) -> Members | None:
    """The members, as many as minProperties and maxProperties allow."""
    least, most = count(flat, "minProperties", place, 0) or 0, count(flat, "maxProperties", place)
    needed = sum(required for _, required in found.named)
    if least > max(1, needed):
        refuse("minProperties", place, "is supported up to the number of required properties, or 1")
    found.some = least > 0
    if most is None:
        return found
    if needed > most:
        return None
    if len(found.named) > most:
        if needed != most:
            refuse("maxProperties", place, "is supported from the number of named properties on")
        found.named = [one for one in found.named if one[1]]
    found.most = most - len(found.named)
    found.other = found.other if found.most else None
    return found


def joined_members(rules: Rules, found: Members, comma: str) -> tuple[str | None, bool]:
    """EBNF of one or more members with commas between, None when there can be none; and whether none is fine too."""
    may_be_empty = not found.some and not any(required for _, required in found.named)
    after, first = "", None
    if found.other is not None:
        one = rules.add(found.other)
        more = f"({comma} {one})"
        after = rules.add(f"{more}*" if found.most is None else f"{more}{{0,{found.most}}}")
        rest = f"{more}*" if found.most is None else f"{more}{{0,{found.most - 1}}}" if found.most > 1 else ""
        first = rules.add(f"{one} {rest}")
    for body, required in reversed(found.named):
        one = rules.add(body)
        begun = f"{one} {after}"
        first = rules.add(begun if required or first is None else f"{begun} | {first}")
        after = rules.add(f"{comma} {one} {after}" if required else f"({comma} {one})? {after}")
    return first, may_be_empty


def other_key(rules: Rules, names: Sequence[str], banned: Ranges) -> str:
    """EBNF of a key in quotes, without backslashes and banned characters, that is none of the names."""
    plain = without(complement(UNWRITABLE), union(of('\n\r\t"\\'), banned))
    quote = literal('"')

    def beyond(names: list[str]) -> str:
        """What may follow where these are the rests of the names that are still possible."""
        heads = sorted({name[0] for name in names if name})
        free = both(plain, complement(of("".join(heads))))
        choices = [f"{one_of(free)} {one_of(plain)}* {quote}"]
        for head in heads:
            if both(of(head), plain):
                choices.append(f"{literal(head)} {beyond([name[1:] for name in names if name[:1] == head])}")
        return rules.add(" | ".join(choices if "" in names else [quote, *choices]))

    return f"{quote} {beyond(list(names))}"
