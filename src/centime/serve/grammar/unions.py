"""Schemas that are one of several: the branches of `anyOf` and `oneOf`, each a flat schema of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from centime.serve.grammar.flat import MAX_DEPTH, TYPES, Nothing, Schema, SchemaReader, refuse, same

MAX_LEAVES = 1000  # of anyOf and oneOf within each other
MAX_BRANCHES = 64  # of anyOf and oneOf beside each other, multiplied out


def branches(reader: SchemaReader, flat: Schema, place: str) -> Iterator[tuple[Schema, str]]:
    """The flat schemas that a flat one with `anyOf` or `oneOf` is the union of."""
    rest = {name: value for name, value in flat.items() if name not in {"anyOf", "oneOf"}}
    groups = [(False, group) for group in flat.get("anyOf", [])] + [(True, group) for group in flat.get("oneOf", [])]
    found = [(rest, place)]
    for exactly_one, group in groups:
        if exactly_one:
            _check_disjoint(reader, rest, group, place)
        more = []
        for base, _ in found:
            for one, where in group:
                try:
                    more.append((reader.merged(base, reader.flat(one, where), where), where))
                except Nothing:
                    continue
        found = more
        if len(found) > MAX_BRANCHES and len(groups) > 1:
            refuse("anyOf", place, f"beside others makes more than {MAX_BRANCHES} branches")
    yield from found


def leaves(reader: SchemaReader, flat: Schema, place: str) -> list[tuple[Schema, str]]:
    """The flat schemas without `anyOf` and `oneOf` that a flat one is the union of, branches of branches too."""
    found: list[tuple[Schema, str]] = []
    _add_leaves(reader, flat, place, 0, found)
    return found


def _add_leaves(reader: SchemaReader, flat: Schema, place: str, depth: int, found: list[tuple[Schema, str]]) -> None:
    if not flat.get("anyOf") and not flat.get("oneOf"):
        found.append((flat, place))
        return
    if depth > MAX_DEPTH or len(found) > MAX_LEAVES:
        name = "anyOf" if flat.get("anyOf") else "oneOf"
        refuse(name, place, f"is nested more than {MAX_DEPTH} deep, has too many branches, or refers to itself")
    for branch, where in branches(reader, flat, place):
        _add_leaves(reader, branch, where, depth + 1, found)


def _check_disjoint(reader: SchemaReader, rest: Schema, group: list[tuple[Any, str]], place: str) -> None:
    flats = []
    for one, where in group:
        try:
            flats.append(reader.merged(rest, reader.flat(one, where), where))
        except Nothing:
            continue
    for at, left in enumerate(flats):
        if not all(_disjoint(reader, left, right) for right in flats[at + 1 :]):
            refuse(
                "oneOf",
                place,
                "has branches that one value may fit both of; tell them apart by type, or by a required property "
                "with different const values, or use anyOf",
            )


def _disjoint(reader: SchemaReader, left: Schema, right: Schema, depth: int = 0) -> bool:
    """Surely no value fits both."""
    values = left.get("enum"), right.get("enum")
    if values[0] is not None and values[1] is not None:
        return not any(same(one, other) for one in values[0] for other in values[1])
    kinds = admitted(left) & admitted(right)
    if kinds != {"object"}:
        return not kinds
    for name in set(left.get("required", [])) & set(right.get("required", [])):
        try:
            inner = [reader.flat(one.get("properties", {}).get(name, True), "") for one in (left, right)]
        except Nothing:
            return True
        if depth < 3 and _disjoint(reader, inner[0], inner[1], depth + 1):
            return True
    return False


def admitted(flat: Schema) -> set[str]:
    """The types of the values that may fit; "number" stands for those that are no integers."""
    kinds = {*flat.get("type", TYPES)} | ({"integer"} if "number" in flat.get("type", ()) else set())
    if "enum" in flat:
        return kinds & {one for value in flat["enum"] for one in types_of(value)}
    return kinds


def types_of(value: Any) -> tuple[str, ...]:
    """The types that a value has: an integer is a number too."""
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer", "number"
    for kind, name in ((float, "number"), (str, "string"), (dict, "object"), (list, "array")):
        if isinstance(value, kind):
            return (name,)
    return ("null",)
