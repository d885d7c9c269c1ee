"""Reading JSON schemas: which keywords are held, references resolved, `allOf` and its neighbours made one schema.

What is not known to be held is refused by its name and its place: a constraint is never dropped. Drafts 4 to 2020-12.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn
from urllib.parse import unquote

from centime.errors import UserError

Schema = dict[str, Any]

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

OF_TYPE = {
    "object": {
        "properties", "required", "additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames",
        "minProperties", "maxProperties",
    },
    "array": {"items", "prefixItems", "additionalItems", "unevaluatedItems", "minItems", "maxItems", "uniqueItems"},
    "string": {"pattern", "minLength", "maxLength"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}  # fmt: skip
_ANY_TYPE = {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "not", "format"}
HELD = _ANY_TYPE.union(*OF_TYPE.values())
ANNOTATIONS = {
    "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
    "$schema", "$defs", "definitions", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "contentEncoding",
    "contentMediaType", "contentSchema", "discriminator", "externalDocs", "xml", "markdownDescription",
    "enumDescriptions",
}  # fmt: skip
_OTHERS = ("additionalProperties", "unevaluatedProperties", "patternProperties")
MAX_DEPTH = 80  # schemas within schemas, references followed; keeps clear of Python's own limit


class Nothing(Exception):
    """The schema admits no value."""


def refuse(keyword: str, place: str, why: str = "is not supported") -> NoReturn:
    """Raises UserError: which keyword, where."""
    raise UserError(f"'{keyword}' at {place or '#'} {why}")


class SchemaReader:
    """Schemas of one document, made flat: without references, `allOf`, `not` and annotations.

    A flat schema has `anyOf` and `oneOf` as lists of such lists under "any" and "one", for several may have to hold;
    what stands beside them holds as well. Its draft-4 bounds and lists of items are written as later drafts do.
    """

    def __init__(self, root: Any) -> None:
        self._root = root

    def flat(self, schema: Any, place: str, seen: tuple[str, ...] = ()) -> Schema:
        """Raises Nothing where it admits no value, and UserError where it has what cannot be held."""
        if schema is True:
            return {}
        if schema is False:
            raise Nothing
        if not isinstance(schema, dict):
            raise UserError(f"at {place} stands {_short(schema)}, where a schema must stand")
        self._check(schema, place)
        own = {name: value for name, value in schema.items() if name in HELD}
        if "not" in own and self._admits_all(own.pop("not"), place):
            raise Nothing
        whole = self._modern(own, place)
        for name in ("anyOf", "oneOf"):
            if name in whole:
                branches = whole.pop(name)
                if not isinstance(branches, list) or not branches:
                    refuse(name, place, "must be a list of schemas, at least one")
                whole[name] = [[(one, f"{place}/{name}/{at}") for at, one in enumerate(branches)]]
        parts = []
        if (target := whole.pop("$ref", None)) is not None:
            parts.append(self._referred(target, place, seen))
        branches = whole.pop("allOf", [])
        if not isinstance(branches, list):
            refuse("allOf", place, "must be a list of schemas")
        parts += [self.flat(one, f"{place}/allOf/{at}", seen) for at, one in enumerate(branches)]
        late = {name: whole.pop(name) for name in ("unevaluatedProperties", "unevaluatedItems") if name in whole}
        found: Schema = {}
        for part in (*parts, whole):
            found = self.merged(found, part, place)
        for name, value in late.items():  # these see what the parts name
            if not same(found.setdefault(name, value), value):
                refuse(name, place, "is in two schemas that are to hold together, which is not supported")
        return found

    def _check(self, schema: Schema, place: str) -> None:
        for name in schema:
            if name in {"$id", "id"}:
                if place != "#" and not (name == "id" and not isinstance(schema[name], str)):
                    refuse(name, place, "below the root is not supported: it would change what references mean")
            elif name not in HELD and name not in ANNOTATIONS and not name.startswith("x-"):
                refuse(name, place)

    def _admits_all(self, negated: Any, place: str) -> bool:
        if negated is False:
            return False
        if negated is True or (isinstance(negated, dict) and not negated.keys() & HELD):
            if isinstance(negated, dict):
                self._check(negated, f"{place}/not")
            return True
        refuse("not", place)

    def _modern(self, schema: Schema, place: str) -> Schema:
        found = dict(schema)
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and bound in found:  # draft 4
                found[exclusive] = found.pop(bound)
        if isinstance(found.get("items"), list):  # until draft 2019-09
            if "prefixItems" in found:
                refuse("items", place, "is a list beside 'prefixItems'")
            found["prefixItems"] = found.pop("items")
            if "additionalItems" in found:
                found["items"] = found.pop("additionalItems")
        found.pop("additionalItems", None)  # means nothing beside items that are no list
        for name in ("additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems"):
            if found.get(name) == {}:
                found[name] = True
        if "type" in found:
            kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
            for kind in kinds:
                if not isinstance(kind, str) or kind not in TYPES:
                    refuse("type", place, f"is {_short(kind)}; Unsupported type, give one of {', '.join(TYPES)}")
            found["type"] = list(dict.fromkeys(kinds))
        if "const" in found:
            found["enum"] = [one for one in found.get("enum", [found["const"]]) if same(one, found["const"])]
            del found["const"]
        for name, kind, what in (
            ("enum", list, "a list"),
            ("required", list, "a list"),
            ("properties", dict, "an object"),
        ):
            if not isinstance(found.get(name, kind()), kind):
                refuse(name, place, f"must be {what}")
        return found

    def resolve(self, target: Any, place: str) -> Any:
        """What a reference within the document points to."""
        if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
            refuse("$ref", place, f"is {_short(target)}; only references within the schema, '#/...', are supported")
        found = self._root
        for part in target.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                refuse("$ref", place, f"is {_short(target)}, which is not in the schema")
        return found

    def _referred(self, target: Any, place: str, seen: tuple[str, ...]) -> Schema:
        if target in seen or len(seen) > MAX_DEPTH:
            refuse("$ref", place, f"is {_short(target)}, which refers to nothing but itself")
        return self.flat(self.resolve(target, place), target, (*seen, target))

    def merged(self, left: Schema, right: Schema, place: str) -> Schema:
        """One schema that both hold in; refuses keywords whose meet is not simply one of the two."""
        found = dict(left)
        self._check_open(left, right, place)
        for name, value in right.items():
            if name not in left:
                found[name] = value
            else:
                found[name] = self._met(name, left[name], value, place)
        return found

    def _met(self, name: str, left: Any, right: Any, place: str) -> Any:
        if name == "type":
            kinds = [one for one in left if one in right or (one == "integer" and "number" in right)]
            kinds += [one for one in right if one == "integer" and "number" in left and one not in kinds]
            if not kinds:
                raise Nothing
            return kinds
        if name == "enum":
            return [one for one in left if any(same(one, other) for other in right)]
        if name in {"anyOf", "oneOf"}:
            return [*left, *right]
        if name == "required" and isinstance(left, list) and isinstance(right, list):
            return [*left, *(one for one in right if one not in left)]
        if name == "properties" and isinstance(left, dict) and isinstance(right, dict):
            shared = {one: {"allOf": [left[one], right[one]]} for one in left if one in right}
            return {**left, **right, **shared}
        if same(left, right):
            return left
        if name in {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}:
            return max(number(left, name, place), number(right, name, place))
        if name in {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}:
            return min(number(left, name, place), number(right, name, place))
        if name in {"items"}:
            return {"allOf": [left, right]}
        refuse(name, place, "is in two schemas that are to hold together, which is not supported")

    def _check_open(self, left: Schema, right: Schema, place: str) -> None:
        """What a schema says of properties, or items, that it does not name, it says of those that the other names."""
        for one, other in ((left, right), (right, left)):
            ours, theirs = (
                {name: each[name] for name in _OTHERS if each.get(name, True) is not True} for each in (one, other)
            )
            names, others = set(one.get("properties", {})), set(other.get("properties", {}))
            if ours and ((theirs and not (same(ours, theirs) and names == others)) or others - names):
                refuse(
                    next(iter(ours)),
                    place,
                    "is in one of two schemas that are to hold together, which is not supported",
                )
        for name in ("items", "unevaluatedItems"):
            for one, other in ((left, right), (right, left)):
                if name in one and len(other.get("prefixItems", [])) > len(one.get("prefixItems", [])):
                    refuse(name, place, "is in one of two schemas that are to hold together, which is not supported")


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and not true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return bool(left == right)


def number(value: Any, name: str, place: str) -> int | float:
    """A keyword's value that must be a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(name, place, f"is {_short(value)}; it must be a number")
    return value


def count(flat: Schema, name: str, place: str, default: int | None = None) -> int | None:
    """A keyword's value that must be a whole number, not negative."""
    if name not in flat:
        return default
    value = number(flat[name], name, place)
    if value < 0 or value != int(value):
        refuse(name, place, f"is {_short(value)}; it must be a whole number, not negative")
    return int(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
