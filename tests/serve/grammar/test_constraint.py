"""Whatever tokens a model would choose, what a grammar lets through fits it, and ends."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import torch
from tests.published import published_tokenizer
from tests.small import small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.serve.formats import AnswerParser
from centime.serve.formats.tool_calls import Calls, Json, Tags
from centime.serve.grammar.constraint import Grammar, Grammars, grammar_spec
from centime.serve.token_bytes import token_bytes

pytestmark = pytest.mark.slow  # xgrammar brings transformers along, whose import takes seconds

V3_WIDTH = 129_280
WIDTH = 320  # of the logits: more than the tokenizer has tokens
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["cat", "dog"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 20},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["name", "kind", "age", "tags"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("get_weather", "set_weather")
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tok") / "tokenizer")


@pytest.fixture(scope="module")
def grammars(tokenizer: Tokenizer) -> Grammars:
    return Grammars(tokenizer, WIDTH)


@pytest.fixture(scope="module")
def v3(shared: Path) -> Grammars:
    return Grammars(published_tokenizer(shared, "deepseek-v3"), V3_WIDTH)


def allowed(mask: torch.Tensor) -> list[int]:
    return [token for token in range(32 * len(mask)) if int(mask[token // 32]) >> (token % 32) & 1]


def walk(grammar: Grammar, tokenizer: Tokenizer, seed: int, most: int = 3000, begin: str = "") -> str:
    """An answer of a model that knows nothing: at each step any allowed token, preferring to close what is open."""
    draw = random.Random(seed)
    constraint, tokens = grammar.constraint(), tokenizer.encode(begin)
    for token in tokens:
        constraint.accept(token)
    for _ in range(most):
        mask = torch.zeros((WIDTH + 31) // 32, dtype=torch.int32)
        constraint.fill(mask)
        choices = allowed(mask)
        assert choices
        assert all(token < tokenizer.vocab_size for token in choices)
        if constraint.finished:
            assert choices == [tokenizer.eos_id]
        closing = [token for token in choices if token_bytes(tokenizer, token) in {b'"', b"}", b"]"}]
        token = tokenizer.eos_id if tokenizer.eos_id in choices else draw.choice(closing * 9 or choices)
        constraint.accept(token)
        if token == tokenizer.eos_id:
            return tokenizer.decode(tokens)
        tokens.append(token)
    raise AssertionError(f"did not end: {tokenizer.decode(tokens)!r}")


@pytest.mark.parametrize("seed", range(8))
def test_json_fits_its_schema(grammars: Grammars, tokenizer: Tokenizer, seed: int) -> None:
    found = json.loads(walk(grammars.compile(grammar_spec("schema", SCHEMA)), tokenizer, seed))
    assert list(found) == ["name", "kind", "age", "tags"]
    assert len(found["name"]) <= 6
    assert found["kind"] in {"cat", "dog"}
    assert 0 <= found["age"] <= 20
    assert all(isinstance(tag, bool) for tag in found["tags"])
    assert isinstance(
        json.loads(walk(grammars.compile(grammar_spec("schema", {"type": "object"})), tokenizer, seed)), dict
    )


@pytest.mark.parametrize("seed", range(4))
def test_regex_and_ebnf(grammars: Grammars, tokenizer: Tokenizer, seed: int) -> None:
    assert re.fullmatch(
        r"(cat|dog)s?-[0-9]{2}", walk(grammars.compile(grammar_spec("regex", r"(cat|dog)s?-[0-9]{2}")), tokenizer, seed)
    )
    assert walk(grammars.compile(grammar_spec("ebnf", 'root ::= "the " ("cat" | "dog") " sat"')), tokenizer, seed) in {
        "the cat sat",
        "the dog sat",
    }


@pytest.mark.parametrize("calls", [Json(fenced=True), Json(fenced=False), Tags()], ids=["v3", "v3.1", "v3.2"])
def test_tool_calls_fit_their_parameters(grammars: Grammars, tokenizer: Tokenizer, calls: Calls) -> None:
    for seed in range(4):
        text = walk(grammars.compile(grammar_spec("structure", calls.grammar(TOOLS, parallel=False))), tokenizer, seed)
        parser = AnswerParser("content", calls)
        deltas = parser.feed(text) + parser.finish()
        assert [delta.text for delta in deltas if delta.kind == "call"] in (["get_weather"], ["set_weather"])
        arguments = json.loads("".join(delta.text for delta in deltas if delta.kind == "arguments"))
        assert set(arguments) == {"name", "kind", "age", "tags"}
        assert not [delta for delta in deltas if delta.kind == "content"]


@pytest.mark.parametrize("calls", [Json(fenced=True), Json(fenced=False), Tags()], ids=["v3", "v3.1", "v3.2"])
def test_strict_tools_leave_text_free_and_hold_calls(grammars: Grammars, tokenizer: Tokenizer, calls: Calls) -> None:
    block = calls.grammar(TOOLS, parallel=True)
    free = {"type": "triggered_tags", "triggers": [calls.opens], "tags": [block], "stop_after_first": True}
    either = {"type": "or", "elements": [block, {"type": "json_schema", "json_schema": SCHEMA}]}
    text = "the cat " + calls.write([{"function": {"name": "get_weather", "arguments": "{}"}}])
    cut = text.index("get_weather") + len("get_weather")
    for shape, begun, held in ((free, text[:cut], True), (free, "the cat sat", False), (either, text[8:cut], True)):
        constraint = grammars.compile(grammar_spec("structure", shape)).constraint()
        for token in tokenizer.encode(begun, parse_special=False):
            constraint.accept(token)
        mask = torch.zeros(WIDTH // 32, dtype=torch.int32)
        constraint.fill(mask)
        assert (len(allowed(mask)) < 5) == held
    assert (
        json.loads(walk(grammars.compile(grammar_spec("structure", either)), tokenizer, 0, begin="{")).keys()
        == SCHEMA["properties"].keys()
    )


def test_reasoning_is_free_until_its_end(grammars: Grammars, tokenizer: Tokenizer) -> None:
    end = tokenizer.token_id("</think>")
    assert end is not None
    constraint = grammars.compile(grammar_spec("regex", "[0-9]")).constraint(after=end)
    for token in tokenizer.encode("the cat"):
        constraint.accept(token)
        assert not constraint.finished
    mask = torch.zeros(WIDTH // 32, dtype=torch.int32)
    constraint.fill(mask)
    assert len(allowed(mask)) == WIDTH
    constraint.accept(end)
    constraint.fill(mask)
    assert {token_bytes(tokenizer, token) for token in allowed(mask)} == {b"%d" % digit for digit in range(10)}


@pytest.mark.parametrize("calls", [Json(fenced=True), Json(fenced=False), Tags()], ids=["v3", "v3.1", "v3.2"])
def test_deepseek_v3s_own_tokens_write_calls(v3: Grammars, calls: Calls) -> None:
    """Its markers are single control tokens, which the grammar of calls lets through."""
    tokenizer = v3.tokenizer
    constraint = v3.compile(grammar_spec("structure", calls.grammar(TOOLS, parallel=True))).constraint()
    arguments = '{"name": "a", "kind": "cat", "age": 1, "tags": [true]}'
    mask = torch.zeros(V3_WIDTH // 32, dtype=torch.int32)
    for token in tokenizer.encode(calls.write([{"function": {"name": "get_weather", "arguments": arguments}}])):
        constraint.fill(mask)
        assert int(mask[token // 32]) >> (token % 32) & 1, tokenizer.decode([token])
        constraint.accept(token)
    constraint.fill(mask)
    assert int(mask[tokenizer.eos_id // 32]) >> (tokenizer.eos_id % 32) & 1


def test_an_answer_that_breaks_its_grammar_is_a_bug(grammars: Grammars, tokenizer: Tokenizer) -> None:
    with pytest.raises(RuntimeError, match="breaks the grammar"):
        grammars.compile(grammar_spec("regex", "[0-9]")).constraint().accept(tokenizer.encode("a")[0])


def test_what_cannot_be_compiled_is_said(grammars: Grammars) -> None:
    with pytest.raises(UserError, match=r"regular expression cannot be used: .*Unclosed"):
        grammars.compile(grammar_spec("regex", "(["))
    with pytest.raises(UserError, match=r"grammar cannot be used: .*not defined"):
        grammars.compile(grammar_spec("ebnf", "root ::= x"))
    with pytest.raises(UserError, match=r"JSON schema cannot be used: .*Unsupported type"):
        grammars.compile(grammar_spec("schema", {"type": "nonsense"}))


def test_bytes_of_tokens_join_to_the_text(tokenizer: Tokenizer) -> None:
    text = "the cat é 猫 🙂 \u00a0\x7f\n"
    assert b"".join(token_bytes(tokenizer, token) for token in tokenizer.encode(text)) == text.encode()
    assert token_bytes(tokenizer, tokenizer.eos_id).decode() == "<｜end▁of▁sentence｜>"
    assert token_bytes(tokenizer, 10**6) == b""
