"""Random JSON schemas: any keyword beside any other, held ones and others, references that meet themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any] | bool

NAMES = st.sampled_from(["a", "b", "ab", "title", "description", "x-é", 'q"\\'])
NUMBERS = st.one_of(st.integers(-30, 30), st.sampled_from([0.5, -1.25, 0.1, 1e-7, 12345.678, 1e20, 2**53]))
COUNTS = st.integers(0, 3)
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "a", "ab", "é\n", '"\\', "\x7f", "｜"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=4,
)
PATTERNS = st.sampled_from(
    ["^[a-c]{1,3}$", "a|b", "^x-", "\\d+", '[^"]*', "^(a|b)*c?$", "\\w\\W", "(?=a)b", "^\\S+@\\S+$", ".", '"', "^$"]
)
FORMATS = st.sampled_from(
    ["date", "date-time", "time", "uuid", "email", "ipv4", "ipv6", "uri", "duration", "int32", "no"]
)
REFERENCES = st.sampled_from(["#", "#/$defs/one", "#/$defs/two", "#/$defs/none", "http://example.com/x"])


def _with_keywords(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "properties": named, "required": st.lists(NAMES, max_size=2, unique=True), "additionalProperties": inner,
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=1), "propertyNames": inner,
        "minProperties": COUNTS, "maxProperties": COUNTS, "unevaluatedProperties": inner,
        "items": inner, "prefixItems": some, "minItems": COUNTS, "maxItems": COUNTS, "uniqueItems": st.booleans(),
        "minimum": NUMBERS, "maximum": NUMBERS, "exclusiveMinimum": NUMBERS, "exclusiveMaximum": NUMBERS,
        "multipleOf": st.sampled_from([1, 2, 7, 0.5]), "minLength": COUNTS, "maxLength": COUNTS, "pattern": PATTERNS,
        "format": FORMATS, "enum": st.lists(VALUES, min_size=1, max_size=3), "const": VALUES,
        "anyOf": some, "oneOf": some, "allOf": some, "not": inner, "$ref": REFERENCES, "if": inner,
        "contains": inner, "dependentRequired": st.just({"a": ["b"]}), "title": st.just("t"), "x-own": VALUES,
    }  # fmt: skip
    pairs = st.sampled_from(sorted(keywords)).flatmap(lambda name: st.tuples(st.just(name), keywords[name]))
    kind = st.one_of(TYPES, st.lists(TYPES, min_size=1, max_size=2, unique=True))
    free = st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0]).map(dict)
    typed = st.tuples(kind, free).map(lambda pair: {"type": pair[0], **pair[1]})
    usual = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": named}, optional={"required": keywords["required"]}
    )
    return st.one_of(free, typed, typed, usual)


ONE = st.recursive(
    st.one_of(st.just({}), st.booleans(), TYPES.map(lambda kind: {"type": kind})), _with_keywords, max_leaves=6
)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A schema with definitions that it may refer to."""
    root = draw(ONE)
    return root if isinstance(root, bool) else {**root, "$defs": {"one": draw(ONE), "two": draw(ONE)}}
