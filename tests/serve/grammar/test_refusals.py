"""What cannot be held is refused with a sentence that names it; what looks like it is held."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.grammar.drawing import admits, draw

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.serve.grammar.constraint import Grammars, grammar_spec
from centime.serve.grammar.flat import HELD as HELD_KEYWORDS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Possible nested set")]

AB = [{"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]} for name in "ab"]
DEEP: Any = {"type": "string"}
for _ in range(49):
    DEEP = {"properties": {"a": DEEP}}

REFUSED = {
    "not": ({"type": "object", "not": {"type": "object"}}, "'not' at #"),
    "not anything": ({"not": {}}, "admits no value"),
    "false": (False, "admits no value"),
    "multipleOf": ({"properties": {"a": {"type": "number", "multipleOf": 0.5}}}, "'multipleOf' at #/properties/a"),
    "a URL": ({"$ref": "http://x/y.json"}, r"'\$ref' at # is"),
    "a name": ({"$ref": "#one", "$anchor": "one"}, r"'\$ref' at #"),
    "nowhere": ({"$ref": "#/$defs/one"}, "which is not in the schema"),
    "itself": ({"$ref": "#"}, "refers to nothing but itself"),
    "each other": ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "itself"),
    "no end": ({"properties": {"next": {"$ref": "#"}}, "required": ["next"]}, "never ends"),
    "no end in one branch": (
        {"anyOf": [{"type": "null"}, {"prefixItems": [{"$ref": "#/anyOf/1"}], "minItems": 1}]},
        "end",
    ),
    "if": ({"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}}, "'if' at #"),
    "dependentRequired": ({"dependentRequired": {"a": ["b"]}}, "'dependentRequired'"),
    "uniqueItems": ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
    "contains": ({"contains": {}}, "'contains'"),
    "nullable": ({"type": "string", "nullable": True}, "'nullable'"),
    "a misspelling": ({"type": "string", "maxLenght": 3}, "'maxLenght'"),
    "anyOf of none": ({"anyOf": []}, "'anyOf'"),
    "oneOf that overlaps": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "'oneOf'"),
    "lookahead": ({"type": "string", "pattern": "(?=a)b"}, "'pattern' at # cannot be held: lookahead"),
    "half of a character": ({"type": "string", "pattern": "[a-z]\\ud800"}, "half of a surrogate pair"),
    "a format": ({"type": "string", "format": "iri"}, "'format' at # is \"iri\""),
    "enum beside a length": ({"enum": ["a", "bcd"], "minLength": 2}, "'minLength'"),
    "an empty range": ({"type": "integer", "minimum": 3, "maximum": 2}, "admits no value"),
    "a type": ({"type": "nonsense"}, "'type'.*nonsense"),
    "no schema": ({"properties": {"a": 3}}, "at #/properties/a stands 3"),
    "NaN": ({"const": float("nan")}, "NaN"),
    "deep": ({"a": DEEP, **DEEP, "properties": {"a": {"properties": {"a": DEEP}}}}, "nested more than"),
    "many values": ({"enum": list(range(6000))}, "6,000 values of enums"),
    "large": ({"description": "x" * 600_000}, "bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_cannot_be_held_is_refused_by_name(grammars: Grammars, name: str) -> None:
    schema, why = REFUSED[name]
    with pytest.raises(UserError, match=f"(?s)the JSON schema cannot be used: .*{why}") as refusal:
        grammars.compile(grammar_spec("schema", schema))
    assert str(refusal.value).isprintable()


VALUES = {"string": ["a", "2020-01-01"], "integer": [1, 7], "number": [1.5], "array": [[1]], "object": [{"a": 1}]}
BESIDE: dict[str, tuple[Any, tuple[str, ...]]] = {  # what says something of values of these types alone
    "minLength": (1, ("string",)), "pattern": ("a", ("string",)), "minimum": (1, ("integer", "number")),
    "multipleOf": (1, ("integer", "number")), "maxItems": (3, ("array",)), "items": ({}, ("array",)),
    "minProperties": (1, ("object",)), "required": (["a"], ("object",)), "format": ("date", tuple(VALUES)),
}  # fmt: skip


@pytest.mark.parametrize("keyword", BESIDE)
@pytest.mark.parametrize("kind", VALUES)
def test_beside_an_enum_what_says_something_of_its_values_is_refused_and_nothing_else(
    grammars: Grammars, tokenizer: Tokenizer, kind: str, keyword: str
) -> None:
    value, kinds = BESIDE[keyword]
    spec = grammar_spec("schema", {"type": kind, "enum": VALUES[kind], keyword: value})
    if kind in kinds:
        with pytest.raises(UserError, match=f"'{keyword}' at # stands beside enum"):
            grammars.compile(spec)
    else:
        grammar = grammars.compile(spec)
        assert all(admits(grammar, tokenizer, json.dumps(one)) for one in VALUES[kind])


KEYWORDS = sorted(HELD_KEYWORDS)
MALFORMED = [None, 3, -1.5, "a", [], [3], [[]], {}, {"a": 3}, True]


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_malformed_keyword_is_refused_or_held(grammars: Grammars, keyword: str) -> None:
    for value in MALFORMED:
        for kind in ("string", "integer", "object", "array"):
            refusals = []
            try:
                grammars.compile(grammar_spec("schema", {"type": kind, keyword: value}))
            except UserError as refusal:
                refusals.append(str(refusal))
            assert not [one for one in refusals if "Error" in one], (kind, keyword, value)


HELD: dict[str, tuple[Any, str]] = {
    "annotations": ({"title": "t", "description": "d", "default": 1, "x-own": 2, "type": "null"}, "null"),
    "allOf": ({"allOf": AB}, r'\{\s*"a"\s*:\s*-?\d+\s*,\s*"b"\s*:\s*-?\d+\s*\}'),
    "required beside anyOf": ({**AB[0], "anyOf": [{"required": ["a"]}]}, r'\{\s*"a"\s*:\s*-?\d+\s*\}'),
    "draft 4": ({"type": "integer", "minimum": 3, "exclusiveMinimum": True, "maximum": 4}, "4"),
    "const": ({"const": {"é": ["\x7f\n", 1.5, None]}}, re.escape('{"é": ["\\u007f\\n", 1.5, null]}')),
    "properties named like annotations": (
        {"properties": {"a": {"properties": {"title": {"const": 1}}, "required": ["title"]},
                        "b": {"properties": {"title": {"const": "x"}}, "required": ["title"]}}, "required": ["a", "b"]},
        r'\{\s*"a"\s*:\s*\{\s*"title"\s*:\s*1\s*\}\s*,\s*"b"\s*:\s*\{\s*"title"\s*:\s*"x"\s*\}\s*\}',
    ),
    "oneOf apart": ({"oneOf": [{"const": 1}, {"const": "1"}, {"type": "null"}]}, '1|"1"|null'),
    "a pattern as long as it may be": (
        {"type": "string", "pattern": "^(cat|dogs)$", "minLength": 3, "maxLength": 4}, '"(cat|dogs)"'
    ),
    "large numbers": ({"const": 12345678901234567890123}, "12345678901234567890123"),
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_what_is_held_says_what_it_should(grammars: Grammars, tokenizer: Tokenizer, name: str) -> None:
    schema, expected = HELD[name]
    grammar = grammars.compile(grammar_spec("schema", schema))
    texts = [text for seed in range(8) if (text := draw(grammar, tokenizer, seed)) is not None]
    assert texts
    assert all(re.fullmatch(expected, text) for text in texts), texts


PATTERNS = [
    "\\x01", "ab\\x01c", "a\\b", "(a)\\1", "\\p{L}", "(?i)a", "a++", "[z-a]", "a{3,2}", "a^b", "a$b", "(", "[", "\\",
    "[]", "*", "a{1,100000}{1,100000}", "((a{1,900}){1,900})",
]  # fmt: skip
GRAMMARS = [
    "root ::= root", 'root ::= "a" root', "root ::= x", 'root ::= "a" | "\\x01"', "root ::=", "\x1b[31m",
    'root ::= "ab" [\\x01-\\x08]', 'root ::= TagDispatch(("a", b))\nb ::= "x"', "root ::= Token(1)",
    'root ::= "a" (="b")', 'root ::= "a"{1,99999999999}', 'root ::= "\\ud800"',
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_cannot_be_held_is_refused(grammars: Grammars, pattern: str) -> None:
    with pytest.raises(UserError, match="the regular expression cannot be used: "):
        grammars.compile(grammar_spec("regex", pattern))


@pytest.mark.parametrize("text", GRAMMARS)
def test_a_grammar_that_cannot_be_held_is_refused(grammars: Grammars, text: str) -> None:
    with pytest.raises(UserError, match="the grammar cannot be used: ") as refusal:
        grammars.compile(grammar_spec("ebnf", text))
    assert str(refusal.value).isprintable()


PIECES = st.sampled_from(
    ["a", "b", "é", ".", "\\d", "\\w", "\\S", "[a-c]", "[^a]", "[\\]\\-]", "^", "$", "\\x01", "\\.", "|", "(", ")",
     "(?:", "?", "*", "+", "{2}", "{1,3}", "{0,}", "(?=", "\\b", "\\1", "-", '"', "\\n", "[", "]", "{"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_any_pattern_is_refused_or_held(grammars: Grammars, tokenizer: Tokenizer, pattern: str) -> None:
    try:
        grammar = grammars.compile(grammar_spec("regex", pattern))
    except UserError:
        return
    for seed in range(3):
        text = draw(grammar, tokenizer, seed, 60)
        assert text is None or re.fullmatch(pattern, text), (pattern, text)


TERMS = st.sampled_from(['"a"', '"bc"', "[a-c]", "[^a]", "root", "x", "y", '""', "[\\x01]", '"é"'])
SIGNS = st.sampled_from(["", "*", "+", "?", "{2}", "{0,3}", " | "])
BODIES = st.lists(st.tuples(TERMS, SIGNS).map("".join), min_size=1, max_size=4).map(" ".join)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(BODIES, BODIES, BODIES)
def test_any_grammar_is_refused_or_leads_on(
    grammars: Grammars, tokenizer: Tokenizer, root: str, first: str, second: str
) -> None:
    try:
        grammar = grammars.compile(grammar_spec("ebnf", f"root ::= {root}\nx ::= {first}\ny ::= {second}"))
    except UserError:
        return
    for seed in range(3):
        draw(grammar, tokenizer, seed, 60)  # would raise DeadEnd


@pytest.mark.parametrize(
    "body", ["root{0,3}", "x{2}\nx ::= root{0,2}", '"a"\ny ::= y{2}', '"a" x\nx ::= y{0,2}\ny ::= x{0,2}']
)
def test_rules_that_are_only_themselves_repeated_are_refused(grammars: Grammars, body: str) -> None:
    """The compiler would call itself until its stack is full, which ends a process and no exception tells."""
    with pytest.raises(UserError, match=r"nothing but itself|fits no text"):
        grammars.compile(grammar_spec("ebnf", f"root ::= {body}"))


def test_numbers_keep_their_bounds(grammars: Grammars, tokenizer: Tokenizer) -> None:
    for low, high in ((0, 1), (-1.5, 2.25), (0.1, 0.3), (99.999, 1000), (-1e-7, 1e-7), (1e10, 1e11), (0, 1e308)):
        for name, other in (("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")):
            grammar = grammars.compile(grammar_spec("schema", {"type": "number", name: low, other: high}))
            for seed in range(20):
                value = json.loads(draw(grammar, tokenizer, seed) or "null")
                if value is not None:
                    assert (low <= value <= high) if name == "minimum" else (low < value < high)
