"""Requests of every shape that the API's own description allows, and of many that it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

DEEP: Any = "x"
for _ in range(60):
    DEEP = [DEEP]

# Whatever a field is for, these are sent to it.
ANYTHING: Sequence[Any] = (
    None, True, False, 0, 1, -1, 2, 16, 17, 1.5, -0.0, 1e-310, 1e308, 2**31 - 1, 2**31, 2**53 + 1, 2**63, -(2**63),
    2**64, 10**30, "", " ", "0", "1", "true", "yes", "none", "auto", "any", "required", "json", "\x00", "é", "猫🙂",
    "\u202e\u2028\x1b[31m", "\ud83d", "<｜end▁of▁sentence｜>", "<think>", "a" * 3000, " " * 3000, "<" * 3000,
    "\n" * 500,    [], [[]], [None], [""], [0], [1, 2, 3], [True], ["a", 1], [{}], ["a"] * 200, [5] * 700, {}, {"": ""},
    {"type": None}, {"type": "text"}, {"type": "function"}, {"a": {"b": {"c": []}}}, DEEP, {"x": DEEP},
)  # fmt: skip

SCHEMAS: Sequence[Any] = (
    True, False, {}, {"type": "object"}, {"$ref": "#"}, {"$ref": "#/a"}, {"$ref": "https://x.y/z\n\x1b[31mFAKE"},
    {"type": ["string", "null"]}, {"type": "nothing"}, {"enum": []}, {"enum": [1, "a", None]}, {"const": "\x01"},
    {"type": "string", "pattern": "(a+)+b"}, {"type": "string", "pattern": "["}, {"type": "string", "minLength": 10**9},
    {"type": "array", "items": {"$ref": "#"}}, {"type": "array", "minItems": 3, "maxItems": 1}, {"anyOf": []},
    {"allOf": [{"type": "integer"}, {"type": "string"}]}, {"not": {}}, {"type": "integer", "multipleOf": 0.1},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a", "b"], "additionalProperties": False},
    {"type": "object", "properties": {"t": {"$ref": "#"}}, "required": ["t"]},
    {"type": "object", "patternProperties": {"^(a|aa)+$": {"type": "null"}}}, {"if": {}, "then": False},
)  # fmt: skip
PATTERNS = ("ab\x01c", "[0-9]{2}", "(", "a{1000000}", "(a|b)*", "", "^$", "(?=a)b", "\\p{L}+", "猫+", "[^a]", ".{0,40}")
GRAMMARS = (
    "root ::= root", 'root ::= "a" root | "b"', 'root ::= ""', "root ::=", "x ::= y", 'root ::= [a-z]{3} "\\n"',
    'root ::= "\x00"', "root ::= " + "(" * 50, 'root ::= "a" | other', "root ::= [", 'root ::= ("a" | "b"){2,4}',
)  # fmt: skip
BIASES = (
    {}, {"5": 100}, {"5": -100}, {"-1": 1}, {"999999": 1}, {"a": 1}, {"5": 1e9}, {"5": "1"}, {"5": None}, [5],
    {str(token): 50 for token in range(290)}, {str(token): -100 for token in range(300)}, {"0": 100},
    {str(token): 0 for token in range(2000)},
)  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def tools(schema: Any, strict: Any = None) -> list[Any]:
    return [{"type": "function", "function": {"name": "f", "parameters": schema, "strict": strict}}]


def turns(role: Any, **fields: Any) -> list[Any]:
    return [{"role": "user", "content": "the json cat"}, {"role": role, **fields}]


# What a field is for decides what is odd for it.
KNOWING: dict[str, Sequence[Any]] = {
    "response_format": [
        {"type": "json_object"}, {"type": "text"}, {"type": "json_schema"}, {"type": "regex"}, {"type": "x"},
        *({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}} for schema in SCHEMAS),
        *({"type": "regex", "regex": pattern} for pattern in PATTERNS),
        *({"type": "grammar", "grammar": grammar} for grammar in GRAMMARS),
    ],
    "output_format": [{"type": "json_schema", "schema": schema} for schema in SCHEMAS],
    "output_config": [{"format": {"type": "json_schema", "schema": schema}} for schema in SCHEMAS],
    "tools": [
        *(tools(schema) for schema in SCHEMAS), *(tools(schema, True) for schema in SCHEMAS), [TOOL] * 2, [TOOL] * 200,
        *([{"name": "f", "input_schema": schema}] for schema in SCHEMAS), [{"type": "web_search", "name": "w"}],
    ],
    "tool_choice": ["none", "auto", "required", "any", {"type": "any"}, {"type": "tool", "name": "f"},
                    {"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}],
    "logit_bias": BIASES,
    "stop": ["a", "", ["a", "b"], ["the"] * 17, ["x" * 5000], ["\ud83d"], ["e", "he", "the"], "\x80"],
    "stop_sequences": [["a"], [""], ["a"] * 40, ["the", "cat"]],
    "stop_token_ids": [[5], [-1], [300], [10**12], list(range(300)), [5] * 65],
    "prompt": ["", "the cat", [3, 4, 5], [299], [300], [-1], [[3, 4], [5]], ["a", "b"], [], [[]], [3] * 600, "猫" * 900,
               ["a"] * 40, [[3]] * 70, "x" * 20_000],
    "messages": [
        [], turns("assistant", content=None), turns("assistant", content="a", prefix=True), turns("tool", content="x"),
        turns("assistant", tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]),
        turns("system", content=["a"]), turns("nobody", content="x"), turns("user", content=[{"type": "image_url"}]),
        turns("user", content="<｜User｜><｜end▁of▁sentence｜>"), turns("user", content="x" * 9000),
        turns("user") * 300,
        turns("assistant", content=[{"type": "tool_use", "id": "1", "name": "f", "input": DEEP}]),
        turns("user", content=[{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": ""}]}]),
    ],
    "n": [1, 2, 16, 17, 0, 2**31], "best_of": [1, 2, 0], "echo": [True, False], "suffix": ["", "x"],
    "max_tokens": [0, 1, 5, 300, 10**6, -1], "max_completion_tokens": [0, 1, 300, -1],
    "logprobs": [True, False, 0, 1, 20, 21], "top_logprobs": [0, 20, 21], "ignore_eos": [True],
    "temperature": [0, 1e-9, 2, 2.1, -1], "top_p": [0, 1e-9, 1, 1.1], "top_k": [0, 1, -1, 10**6], "min_p": [0, 1, 2],
    "repetition_penalty": [1e-6, 10, 0, 11], "frequency_penalty": [-2, 2, 3], "presence_penalty": [-2, 2, 3],
    "seed": [0, -1, 2**63, 2**64], "stream": [True], "stream_options": [{"include_usage": True}, {"include_usage": 1}],
    "thinking": [{"type": "enabled", "budget_tokens": 5}, {"type": "disabled"}, {"type": "x"}],
    "user": ["", "u" * 600], "user_id": ["", "u" * 600],
}  # fmt: skip

# Bodies that are no bodies.
RAW = (
    b"", b"{", b"[]", b"null", b'{"model": NaN}', b'{"messages": [{"role": "user", "content": "\xff"}]}', b"[" * 3000,
    b'{"a": ' * 3000, b'{"model": "small", "n": 1e400}', b'{"model": "small", "seed": ' + b"9" * 5000 + b"}",
    b'{"model": "small", "model": "other"}', b"\x00" * 10, b'"' + b"a" * 1000 + b'"',
)  # fmt: skip


@dataclass(frozen=True)
class Odd:
    """A request: where it goes, its body, and after how many seconds its client leaves (None: it waits)."""

    path: str
    body: bytes
    leaves: float | None
    kind: str = "application/json"


class Routes:
    """The routes of an OpenAPI description that take a JSON body, with the fields of each."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._schemas = description["components"]["schemas"]
        self.fields: dict[str, list[str]] = {}
        for path, methods in description["paths"].items():
            content = methods.get("post", {}).get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            if schema is not None:
                self.fields[path] = sorted(self._resolved(schema).get("properties", {}))
        assert len(self.fields) >= 5, "the description has lost its routes"

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = self._schemas[name] if name else schema
        return found

    def odd(self) -> st.SearchStrategy[Odd]:
        """One request: a sound one with some of its fields changed, now and then no JSON at all."""
        return st.one_of(*[self._changed(path, fields) for path, fields in self.fields.items()], self._raw())

    def _changed(self, path: str, fields: list[str]) -> st.SearchStrategy[Odd]:
        names = st.lists(st.sampled_from(fields), min_size=1, max_size=4, unique=True)
        changes = names.flatmap(lambda chosen: st.fixed_dictionaries({name: values_of(name) for name in chosen}))
        return st.builds(lambda change, leaves: Odd(path, written(path, change), leaves), changes, leaving())

    def _raw(self) -> st.SearchStrategy[Odd]:
        kinds = st.sampled_from(
            ["application/json", "application/json", "text/plain", "", "application/json; charset=x"]
        )
        return st.builds(Odd, st.sampled_from(sorted(self.fields)), st.sampled_from(RAW), st.none(), kinds)


def values_of(name: str) -> st.SearchStrategy[Any]:
    """What is sent to a field: three times in four what somebody would who knows what it is for."""
    anything = st.sampled_from(ANYTHING)
    return st.one_of(*[st.sampled_from(KNOWING[name])] * 3, anything) if name in KNOWING else anything


def leaving() -> st.SearchStrategy[float | None]:
    return st.one_of(st.none(), st.sampled_from([0.0, 0.02, 0.1]))


def written(path: str, change: dict[str, Any]) -> bytes:
    """The body: what every route needs, short answers, and the change."""
    sound: dict[str, Any] = {"model": "small", "max_tokens": 24}
    if "completions" in path and "chat" not in path:
        sound["prompt"] = "the cat sat"
    elif "tokenize" in path:
        sound = {} if "messages" in change else {"prompt": "the cat"}
    else:
        sound["messages"] = [{"role": "user", "content": "the json cat"}]
    return json.dumps({**sound, **change}).encode()
