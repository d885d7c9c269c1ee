"""Every schema is refused by name, or every answer that its grammar lets through fits it."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from tests.serve.grammar.drawing import draw
from tests.serve.grammar.schemas import ONE, Schema, schemas

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.serve.formats import AnswerParser
from centime.serve.formats.tool_calls import Calls, Json, Tags
from centime.serve.grammar.constraint import Grammars, grammar_spec

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[3] / "build" / "json-schema-test-suite"
DRAFTS = {
    "draft4": jsonschema.Draft4Validator,
    "draft6": jsonschema.Draft6Validator,
    "draft7": jsonschema.Draft7Validator,
    "draft2019-09": jsonschema.Draft201909Validator,
    "draft2020-12": jsonschema.Draft202012Validator,
}
NEWEST = jsonschema.Draft202012Validator


class Held:
    """Counts what became of schemas, and checks every answer."""

    def __init__(self, grammars: Grammars, tokenizer: Tokenizer) -> None:
        self.grammars, self.tokenizer = grammars, tokenizer
        self.count: Counter[str] = Counter()

    def check(self, schema: Schema, validator: Any = NEWEST, draws: int = 3) -> None:
        try:
            grammar = self.grammars.compile(grammar_spec("schema", schema))
        except UserError as refusal:
            self.refused(refusal)
            return
        self.count["held"] += 1
        for seed in range(draws):
            text = draw(grammar, self.tokenizer, seed)
            self.count["ended" if text is not None else "cut"] += 1
            if text is not None:
                self.valid(json.loads(text), schema, validator)

    def refused(self, refusal: UserError, of: str = "the JSON schema") -> None:
        assert f"{of} cannot be used: " in str(refusal)
        self.count["refused"] += 1

    def valid(self, value: Any, schema: Schema, validator: Any = NEWEST) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            validator(schema, format_checker=validator.FORMAT_CHECKER).validate(value)

    def tell(self, *, held: float) -> None:
        """That the check could fail: enough schemas were held, and answers ended."""
        assert self.count["held"] > held * (self.count["held"] + self.count["refused"]), self.count
        assert self.count["ended"] > 0.4 * (self.count["ended"] + self.count["cut"]), self.count


def fuzz(held: Held, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(schemas())
    def check(schema: Schema) -> None:
        held.check(schema)

    check()
    held.tell(held=0.2)


def test_random_schemas(grammars: Grammars, tokenizer: Tokenizer) -> None:
    fuzz(Held(grammars, tokenizer), 80)


@pytest.mark.long
def test_many_random_schemas(grammars: Grammars, tokenizer: Tokenizer) -> None:
    fuzz(Held(grammars, tokenizer), 8000)


def arguments_of(calls: Calls, text: str) -> Any:
    parser = AnswerParser("content", calls)
    deltas = parser.feed(text) + parser.finish()
    assert [delta.text for delta in deltas if delta.kind == "call"] == ["act"]
    return json.loads("".join(delta.text for delta in deltas if delta.kind == "arguments"))


def fuzz_tools(held: Held, calls: Calls, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(ONE)
    def check(schema: Schema) -> None:
        schema = {**schema, "type": "object"} if isinstance(schema, dict) else {"type": "object"}
        tool = {"type": "function", "function": {"name": "act", "parameters": schema}}
        try:
            grammar = held.grammars.compile(grammar_spec("structure", calls.grammar([tool], parallel=False)))
        except UserError as refusal:
            held.refused(refusal, "'act'")
            return
        held.count["held"] += 1
        for seed in range(3):
            text = draw(grammar, held.tokenizer, seed)
            held.count["ended" if text is not None else "cut"] += 1
            if text is not None:
                held.valid(arguments_of(calls, text), schema)

    check()
    held.tell(held=0.2)


CALLS = pytest.mark.parametrize("calls", [Json(fenced=True), Json(fenced=False), Tags()], ids=["v3", "v3.1", "v3.2"])


@CALLS
def test_required_tools(grammars: Grammars, tokenizer: Tokenizer, calls: Calls) -> None:
    fuzz_tools(Held(grammars, tokenizer), calls, 12)


@pytest.mark.long
@CALLS
def test_many_required_tools(grammars: Grammars, tokenizer: Tokenizer, calls: Calls) -> None:
    fuzz_tools(Held(grammars, tokenizer), calls, 2500)


def either(name: str, *inner: Any) -> Schema:
    return {name: [*inner]}


@CALLS
def test_the_branches_of_branches_hold_in_tools(grammars: Grammars, tokenizer: Tokenizer, calls: Calls) -> None:
    wanted = {"type": "object", "properties": {"a": {"const": 5}}, "required": ["a"]}
    other = {"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]}
    nested: list[Schema] = [
        either("oneOf", either("oneOf", False)),
        either("anyOf", either("oneOf", {"$ref": "#/$defs/none"})),
        {**either("oneOf", either("oneOf", {"$ref": "#/$defs/one"})), "$defs": {"one": either("anyOf", {"$ref": "#"})}},
    ]
    for schema in nested:
        tool = {"type": "function", "function": {"name": "act", "parameters": {**schema, "type": "object"}}}
        with pytest.raises(UserError, match="cannot be used"):
            grammars.compile(grammar_spec("structure", calls.grammar([tool], parallel=False)))
    for schema in (either("anyOf", either("oneOf", wanted, other)), either("anyOf", either("anyOf", wanted), other)):
        tool = {"type": "function", "function": {"name": "act", "parameters": {**schema, "type": "object"}}}
        grammar = grammars.compile(grammar_spec("structure", calls.grammar([tool], parallel=False)))
        found = {arguments_of(calls, str(draw(grammar, tokenizer, seed)))["a"] for seed in range(12)}
        assert found == {5, "x"}


def suite(draft: str) -> list[Schema]:
    if not (SUITE / draft).is_dir():
        pytest.skip("no JSON Schema Test Suite: make schema-suite fetches it")
    files = sorted((SUITE / draft).glob("*.json"))
    return [group["schema"] for file in files for group in json.loads(file.read_text())]


@pytest.mark.parametrize("draft", ["draft7", "draft2020-12"])
def test_some_of_the_test_suites_schemas(grammars: Grammars, tokenizer: Tokenizer, draft: str) -> None:
    held = Held(grammars, tokenizer)
    for schema in suite(draft)[::8]:
        held.check(schema, DRAFTS[draft])
    held.tell(held=0.2)


@pytest.mark.long
@pytest.mark.parametrize("draft", DRAFTS)
def test_the_test_suites_schemas(grammars: Grammars, tokenizer: Tokenizer, draft: str) -> None:
    held = Held(grammars, tokenizer)
    for schema in suite(draft):
        held.check(schema, DRAFTS[draft], draws=12)
    held.tell(held=0.2)
