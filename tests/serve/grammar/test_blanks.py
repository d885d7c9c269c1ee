"""However fond of blanks a model is: on no path to the compiler does JSON have more in a row than MAX_BLANKS."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.serve.grammar.drawing import flooding

from centime.data.tokenizers import Tokenizer
from centime.serve.formats.tool_calls import Calls, Json, Tags
from centime.serve.grammar.constraint import Grammars, grammar_spec
from centime.serve.grammar.schema import MAX_BLANKS

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "array", "items": {"type": "null"}},
        "c": {"type": "object"},
    },
    "required": ["a", "b", "c"],
}
TOOLS = [{"type": "function", "function": {"name": "act", "parameters": SCHEMA}}]
ALL: list[Calls] = [Json(fenced=True), Json(fenced=False), Tags()]
CALLS = pytest.mark.parametrize("calls", ALL, ids=["v3", "v3.1", "v3.2"])


def longest(text: str) -> int:
    """The most blanks in a row outside strings, where a model may write what it likes."""
    text = re.sub(r'"(?:[^"\\]|\\.)*("|$)', '""', text)
    return max((len(found) for found in re.findall(r"[ \n\t\r]+", text)), default=0)


@pytest.mark.parametrize("schema", [SCHEMA, {"type": "object"}, True, {"type": "array"}])
def test_of_a_response_format(grammars: Grammars, tokenizer: Tokenizer, schema: Any) -> None:
    begin = "[" if schema == {"type": "array"} else "{"
    text = flooding(grammars.compile(grammar_spec("schema", schema)), tokenizer, begin)
    assert 1 < longest(text) <= MAX_BLANKS, text


def shapes(calls: Calls) -> dict[str, dict[str, Any]]:
    """A required tool, a strict one, and tools beside a response format."""
    block = calls.grammar(TOOLS, parallel=True)
    strict = {"type": "triggered_tags", "triggers": [calls.opens], "tags": [block], "stop_after_first": True}
    return {
        "required": block,
        "strict": strict,
        "beside": {"type": "or", "elements": [block, {"type": "json_schema", "json_schema": SCHEMA}]},
    }


@CALLS
@pytest.mark.parametrize("which", ["required", "strict", "beside"])
def test_of_a_call(grammars: Grammars, tokenizer: Tokenizer, calls: Calls, which: str) -> None:
    block = calls.write([{"function": {"name": "act", "arguments": '{"a": 1, "b": [], "c": {}}'}}])
    opening = "[" if isinstance(calls, Tags) else "{"  # of the second argument, which a tag has as JSON; of them all
    begin = block[: block.index(opening) + 1]
    text = flooding(grammars.compile(grammar_spec("structure", shapes(calls)[which])), tokenizer, begin)
    assert 1 < longest(text) <= MAX_BLANKS, text


@CALLS
def test_of_content_beside_tools(grammars: Grammars, tokenizer: Tokenizer, calls: Calls) -> None:
    text = flooding(grammars.compile(grammar_spec("structure", shapes(calls)["beside"])), tokenizer, "{")
    assert 1 < longest(text) <= MAX_BLANKS, text
