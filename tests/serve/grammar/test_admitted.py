"""A grammar admits what it stands for, no more and no less: every text of a list is let through, or is not."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import jsonschema
import pytest
from tests.serve.grammar.drawing import admits

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.serve.grammar.constraint import Grammars
from centime.serve.grammar.gate import grammar_spec

pytestmark = pytest.mark.slow

TEXTS = ["".join(text) for length in range(3) for text in itertools.product("abA1 -.\n", repeat=length)]
TEXTS += ["aaa", "aab", "abb", "aba", "bab", "abab", "a.b", "a\nb", "aaab", "a1b"]
PATTERNS = [
    "a", "ab|b", "a||b", "", "()", "(a|b)1?", "(?:ab)+", "(?P<x>a)b", "((a)|(b))-",
    "a*", "a+b", "a?b", "a*?b", "a+?b", "a??b", "a{2}", "a{1,2}b", "a{1,2}?b", "a{2,}", "a{0}", "a{0,0}b",
    "(a{0,1}b){2}",
    "[ab]", "[^ab]", "[a-a]", "[a-b]1", "[-a]", "[a-]", "[\\-a]", "[ -.]", "[A-b]", "[a.]", "[\\x61-b]", "[^\\n]",
    "\\d", "\\D\\d", "\\w-", "\\W", "\\s\\S", "[\\d.]", "[^\\d]", "[^\\s\\w]", "\\.", "\\-", "a.b", ".", "..?.",
    "^a$", "^(a|b)$", "^a|b$", "(^a)b", "a(b$)", "^", "$", "^$", "^^a$$", "\\x41", "\\u0041", "\\n",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern(grammars: Grammars, tokenizer: Tokenizer, pattern: str) -> None:
    grammar = grammars.compile(grammar_spec("regex", pattern))
    admitted = [text for text in TEXTS if admits(grammar, tokenizer, text)]
    assert admitted == [text for text in TEXTS if re.fullmatch(pattern, text)]


# A dialect's \d, \w and \s know ASCII alone or Unicode too: what is admitted fits both.
@pytest.mark.parametrize(
    ("pattern", "admitted"),
    [
        ("\\d", "1"), ("\\w", "1a_"), ("\\s", " \t\n"),
        ("\\D", "a_ \t\né\u00a0\u2003\ufeff\u2028-"), ("\\W", " \t\n-"), ("\\S", "1a_é\u0663-"),
        ("[^\\d]", "a_ \t\né\u00a0\u2003\ufeff\u2028-"), ("[^\\w-]", " \t\n"), ("[^\\s1]", "a_é\u0663-"),
        (".", "1a_ \té\u0663\u00a0\u2003\ufeff-"), ("[^a]", "1_ \t\né\u0663\u00a0\u2003\ufeff\u2028-"),
    ],
)  # fmt: skip
def test_a_class_of_characters(grammars: Grammars, tokenizer: Tokenizer, pattern: str, admitted: str) -> None:
    grammar = grammars.compile(grammar_spec("regex", pattern))
    every = "1a_ \t\né\u0663\u00a0\u2003\ufeff\u2028-"
    assert {one for one in every if admits(grammar, tokenizer, one)} == set(admitted)


VALUES = [
    None, True, False, 0, 1, -1, 3, 10, 0.5, -2.5, 100.25, "", "a", "ab", "abc", "é", "2024-02-29", "2023-02-29",
    "12:30:00Z", [], [1], [1, 2], ["a"], [1, "a"], [[]], {}, {"a": 1}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 2},
    {"a": {"b": 1}},
]  # fmt: skip
SCHEMAS: list[dict[str, Any]] = [
    {"type": "null"}, {"type": "boolean"}, {"type": "integer"}, {"type": "number"}, {"type": "string"},
    {"type": "array"}, {"type": "object"}, {"type": ["integer", "string"]}, {}, {"const": "a"},
    {"enum": [1, "a", None]}, {"type": "string", "minLength": 1}, {"type": "string", "maxLength": 2},
    {"type": "string", "minLength": 2, "maxLength": 2},
    {"type": "string", "pattern": "^[a-b]+$"}, {"type": "string", "pattern": "^[a-c]*$", "minLength": 2},
    {"type": "string", "pattern": "^[a-c]{1,3}$", "maxLength": 2}, {"type": "string", "format": "date"},
    {"type": "array", "items": {"type": "integer"}}, {"type": "array", "minItems": 1}, {"type": "array", "maxItems": 1},
    {"type": "array", "minItems": 1, "maxItems": 1},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    {"type": "object", "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True},
    {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
    {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"], "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "integer"}}, {"type": "object", "minProperties": 1},
    {"type": "object", "maxProperties": 1}, {"type": "object", "propertyNames": {"pattern": "^a$"}},
    {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 1}]}, {"oneOf": [{"const": 1}, {"type": "string"}]},
    {"allOf": [{"type": ["integer", "string"]}, {"type": ["string", "null"]}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_a_schema(grammars: Grammars, tokenizer: Tokenizer, schema: dict[str, Any]) -> None:
    grammar = grammars.compile(grammar_spec("schema", schema))
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    admitted = [value for value in VALUES if admits(grammar, tokenizer, json.dumps(value, ensure_ascii=False))]
    assert list(map(repr, admitted)) == [repr(value) for value in VALUES if validator.is_valid(value)]


COUNTS = sorted({sign * (10**n + more) for sign in (-1, 1) for n in range(4) for more in (-1, 0, 1, 37)})
FRACTIONS = [
    near + more for near in (-2.75, -0.5, -0.25, 0, 0.1, 0.25, 0.3, 10.25, 37.5, 99.5) for more in (-1e-3, 0, 2**-6)
]
BOUNDS: list[tuple[float | None, float | None]] = [
    (None, None), (0, None), (None, -1), (-1, 1), (-10, 100), (9, 11), (37, 38), (99, 1001), (-1037, -38),
    (-0.5, 0.25), (0.1, 0.3), (-2.75, 10.5), (99.5, 100), (None, -0.25), (10.25, None),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), BOUNDS)
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("kind", ["integer", "number"])
def test_numbers_between_bounds(
    grammars: Grammars, tokenizer: Tokenizer, low: float | None, high: float | None, exclusive: bool, kind: str
) -> None:
    names = ("exclusiveMinimum", "exclusiveMaximum") if exclusive else ("minimum", "maximum")
    bounds = {name: bound for name, bound in zip(names, (low, high), strict=True) if bound is not None}
    numbers = COUNTS if kind == "integer" else [*COUNTS, *FRACTIONS]
    validator = jsonschema.Draft202012Validator({"type": kind, **bounds})
    fitting = [number for number in numbers if validator.is_valid(number)]
    if not fitting:
        with pytest.raises(UserError, match="admits no value"):
            grammars.compile(grammar_spec("schema", {"type": kind, **bounds}))
        return
    grammar = grammars.compile(grammar_spec("schema", {"type": kind, **bounds}))
    assert [number for number in numbers if admits(grammar, tokenizer, json.dumps(number))] == fitting


def has(name: str, schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: schema}, "required": [name]}


NOTHING = {"allOf": [{"type": "integer"}, {"type": "string"}]}


@pytest.mark.parametrize(
    ("left", "right", "apart"),
    [
        ({"type": "integer"}, {"type": "string"}, True),
        ({"type": "integer"}, {"type": "number"}, False),
        ({"enum": [1, 2]}, {"enum": [3, "1"]}, True),
        ({"enum": [1, 2]}, {"enum": [2, 3]}, False),
        ({"enum": [1, True]}, {"enum": [1.0]}, False),
        ({"enum": [0]}, {"enum": [False]}, True),
        ({"enum": ["a"]}, {"type": "integer"}, True),
        ({"enum": [1.0]}, {"type": "integer"}, False),
        ({"enum": ["a"]}, {"type": "string"}, False),
        (has("a", {"const": 1}), has("a", {"const": 2}), True),
        (has("a", {"const": 1}), has("a", {"const": 1}), False),
        (has("a", {"const": 1}), has("b", {"const": 2}), False),
        (has("a", {"const": 1}), {"type": "object", "properties": {"a": {"const": 2}}}, False),
        (has("a", {"type": "string"}), has("a", {"type": "null"}), True),
        (has("a", has("b", {"const": 1})), has("a", has("b", {"const": 2})), True),
        (has("a", {"type": "integer"}), has("a", True), False),
        (has("a", {"type": "integer"}), {"type": "object", "required": ["a"]}, False),
        (has("a", {"type": "integer"}), has("a", NOTHING), True),
        ({"type": "array", "minItems": 1}, {"type": "array", "maxItems": 0}, False),  # true, but not told apart
    ],
)
def test_branches_of_which_one_must_fit(
    grammars: Grammars, left: dict[str, Any], right: dict[str, Any], apart: bool
) -> None:
    for pair in ([left, right], [right, left], [left, {"const": []}, right]):
        if apart:
            grammars.compile(grammar_spec("schema", {"oneOf": pair}))
        else:
            with pytest.raises(UserError, match="'oneOf' at # has branches that one value may fit both of"):
                grammars.compile(grammar_spec("schema", {"oneOf": pair}))
