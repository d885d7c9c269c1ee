"""Reasoning, content and tool calls in DeepSeek's formats, wherever the text is cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.serve.formats.parser import AnswerParser, Start
from centime.serve.formats.reader import overlap
from centime.serve.formats.tool_calls import Calls, Delta, Json, Tags

V3, V31, V32 = Json(fenced=True), Json(fenced=False), Tags()
SYNTAXES = {"v3": V3, "v3.1": V31, "v3.2": V32}


def parsed(pieces: list[str], start: Start, calls: Calls | None, *, cut: bool = False) -> list[Delta]:
    """Everything the parser gives for these pieces, neighbours of one kind joined."""
    parser = AnswerParser(start, calls)
    given_ = [delta for piece in pieces for delta in parser.feed(piece)] + parser.finish(cut=cut)
    groups = itertools.groupby(given_, key=lambda delta: (delta.kind, delta.index))
    return [Delta(kind, "".join(delta.text for delta in group), index) for (kind, index), group in groups]


def called(name: str, **arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}


CALLS = [called("weather", city='Paris "centre"\n猫', days=3), called("now"), called("list", of=[1, {"a": None}])]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_written_is_read_back(syntax: str) -> None:
    calls = SYNTAXES[syntax]
    text = "because\n</think>\n\nLet me see.\n\n" + calls.write(CALLS)
    found = parsed([text], "reasoning", calls)
    assert [delta.text for delta in found if delta.kind == "reasoning"] == ["because"]
    assert [delta.text for delta in found if delta.kind == "content"] == ["Let me see."]
    assert [delta.text for delta in found if delta.kind == "call"] == ["weather", "now", "list"]
    for index, call in enumerate(CALLS):
        read = "".join(delta.text for delta in found if delta.kind == "arguments" and delta.index == index)
        assert json.loads(read) == json.loads(call["function"]["arguments"])


def test_spelled_as_the_model_folders_spell_it() -> None:
    """From the chat templates of DeepSeek-V3 and V3.1, and encoding_dsv32.py of V3.2."""
    assert V3.write([called("f", a=1)]) == (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"a": 1}\n```'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    )
    assert V31.write([called("f", a=1)]) == (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    )
    assert V32.write([called("f", a=1, b="x")]) == (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n'
        '<｜DSML｜parameter name="a" string="false">1</｜DSML｜parameter>\n'
        '<｜DSML｜parameter name="b" string="true">x</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>"
    )


MARKERS = [
    *("<think>", "</think>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>"),
    *("<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "function", "```json\n", "\n```", "<｜DSML｜function_calls>"),
    *("</｜DSML｜function_calls>", '<｜DSML｜invoke name="f">', "</｜DSML｜invoke>", "</｜DSML｜parameter>"),
    *('<｜DSML｜parameter name="k" string="true">', '<｜DSML｜parameter name="k" string="false">'),
    *('{"a": 1}', "\n", "\n\n", " ", "`", "<", "<｜", 'x"\\', "猫🙂"),
]
whole = [
    "why\n</think>\n\nso\n\n" + calls.write(CALLS) + tail for calls in SYNTAXES.values() for tail in ("", "\n\nmore")
]
texts = st.one_of(
    st.sampled_from(whole),
    st.lists(st.sampled_from(MARKERS), max_size=25).map("".join),
    st.builds(lambda text, at: text[: at % len(text)], st.sampled_from(whole), st.integers(0, 10_000)),
)


@given(
    texts,
    st.sampled_from(["reasoning", "content", "either"]),
    st.sampled_from([None, V3, V31, V32]),
    st.booleans(),
    st.data(),
)
def test_any_split_gives_the_same(text: str, start: Start, calls: Calls | None, cut: bool, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    at_once = parsed([text], start, calls, cut=cut)
    assert parsed(pieces, start, calls, cut=cut) == at_once
    assert parsed(list(text), start, calls, cut=cut) == at_once


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("start", ["reasoning", "content", "either"])
def test_an_answer_that_is_cut_anywhere_ends_in_no_part_of_a_marker(syntax: str, start: Start) -> None:
    calls = SYNTAXES[syntax]
    text = "why\n</think>\n\nso 🙂\n\n" + calls.write(CALLS)
    if start == "content":
        text = text.partition("</think>")[2]
    elif start == "either":
        text = "<think>" + text
    markers = {"<think>", "</think>", calls.opens, "```json", "\n```", "</｜DSML｜parameter>", "<｜tool▁call▁end｜>"}
    beginnings = {marker[:size] for marker in markers for size in range(2, len(marker))}
    whole_text = {delta.kind: delta.text for delta in parsed([text], start, calls) if delta.kind != "arguments"}
    for at in range(len(text)):
        for half in ("", "\ufffd"):
            found = parsed([text[:at] + half], start, calls, cut=True)
            for delta in found:
                assert not any(delta.text.endswith(beginning) for beginning in beginnings), (text[:at], delta)
                assert "\ufffd" not in delta.text
                if delta.kind in ("reasoning", "content"):
                    assert whole_text[delta.kind].startswith(delta.text.removesuffix("<").rstrip("\n"))


def test_an_answer_that_ended_by_itself_keeps_what_it_ends_with() -> None:
    assert parsed(["if a <｜t"], "content", V3) == [Delta("content", "if a <｜t")]
    assert parsed(["if a <｜t"], "content", V3, cut=True) == [Delta("content", "if a ")]
    assert parsed(["if a <"], "content", V3, cut=True) == [Delta("content", "if a <")]
    assert parsed(["a\ufffd"], "content", None) == [Delta("content", "a\ufffd")]


@given(texts)
def test_without_markers_to_look_for_the_text_is_untouched(text: str) -> None:
    assert "".join(delta.text for delta in parsed(list(text), "content", None)) == text


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_text_is_given_as_soon_as_it_is_certain(syntax: str) -> None:
    calls = SYNTAXES[syntax]
    parser = AnswerParser("content", calls)
    assert parser.feed("Hello") == [Delta("content", "Hello")]
    assert parser.feed(" wor<") == [Delta("content", " wor")]
    assert parser.feed("ld") == [Delta("content", "<ld")]
    text = calls.write([called("write", text="one two three four")])
    seen = [delta for character in text for delta in parser.feed(character)]
    assert len([delta for delta in seen if delta.kind == "arguments"]) > 10


def test_calls_that_break_off_or_lack_their_fence() -> None:
    begun = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
    assert parsed([begun + '{"a": 1}<｜tool▁call▁end｜>'], "content", V3) == [
        Delta("call", "f"),
        Delta("arguments", '{"a": 1}'),
    ]
    assert parsed([begun + '```json\n{"a"'], "content", V3) == [Delta("call", "f"), Delta("arguments", '{"a"')]
    assert parsed(["\n<think>hm</think>yes"], "either", None) == [Delta("reasoning", "hm"), Delta("content", "yes")]
    assert parsed(["plain"], "either", None) == [Delta("content", "plain")]


@pytest.mark.parametrize(
    ("text", "marker", "length"),
    [
        ("a<th", "<think>", 3),
        ("a<", "<think>", 1),
        ("<think>", "<think>", 0),
        ("a", "<think>", 0),
        ("", "<think>", 0),
        ("<<", "<<<", 2),
        ("<<<<", "<<<", 2),
        ("x", "x", 0),
    ],
)
def test_a_marker_may_have_begun_at_the_end_of_a_text(text: str, marker: str, length: int) -> None:
    assert overlap(text, marker) == length


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_grammar_has_a_tag_a_tool_and_at_least_one_call(syntax: str, parallel: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    tools = [{"function": {"name": "f", "parameters": schema}}, {"function": {"name": "g"}}]
    block = SYNTAXES[syntax].grammar(tools, parallel=parallel)
    assert block["type"] == "tag"
    content = block["content"]
    assert (content["type"], content["at_least_one"]) == ("tags_with_separator", True)
    assert content.get("stop_after_first", False) is not parallel
    assert [tag["content"]["json_schema"] for tag in content["tags"]] == [schema, {"type": "object"}]
    assert [tag["content"]["function"] for tag in content["tags"]] == ["f", "g"]
    written = SYNTAXES[syntax].write([called("f", a=1)])
    assert written.startswith(block["begin"] + content["tags"][0]["begin"])
    assert written.endswith(content["tags"][0]["end"] + block["end"])


def test_what_comes_now_is_known_from_the_beginning() -> None:
    starts: tuple[Start, ...] = ("content", "reasoning", "either")
    assert [AnswerParser(start).now for start in starts] == ["content", "reasoning", "reasoning"]
    parser = AnswerParser("reasoning")
    parser.feed("hm</think>yes")
    assert parser.now == "content"
