"""Streamed text: whole characters, whatever the token boundaries; nothing past a stop string, wherever it falls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small import small_tokenizer

from centime.errors import UserError
from centime.serve.text import TextStream


def byte_decode(ids: Sequence[int]) -> str:
    """The hardest tokenizer: every token is one byte."""
    return bytes(ids).decode("utf-8", "replace")


def streamed(ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[list[str], TextStream]:
    stream = TextStream(byte_decode, stop)
    pieces = [stream.push(i) for i in ids]
    return [*pieces, stream.finish()], stream


@given(st.text(max_size=60))
def test_pieces_are_whole_characters_and_add_up(text: str) -> None:
    pieces, _ = streamed(text.encode())
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_any_bytes_add_up_to_their_decoding(ids: list[int]) -> None:
    assert "".join(streamed(ids)[0]) == byte_decode(ids)


@given(st.text("abc🙂é", max_size=30), st.lists(st.text("abc🙂é", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_string(text: str, stops: list[str]) -> None:
    pieces, stream = streamed(text.encode(), stops)
    # The stream sees characters one after another, so the stop string that is complete first ends it.
    ends = [(at + len(s), at) for s in stops if (at := text.find(s)) >= 0]
    if ends:
        first_end = min(end for end, _ in ends)
        expected = text[: min(at for end, at in ends if end == first_end)]
    else:
        expected = text
    assert "".join(pieces) == expected
    assert stream.stopped == bool(ends)


def test_text_is_given_as_soon_as_it_is_certain() -> None:
    pieces, _ = streamed(b"ab<x<end>y", ["<end>"])
    assert pieces == ["a", "b", "", "<x", "", "", "", "", "", "", ""]


def test_a_real_tokenizer_streams_characters_that_span_tokens(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path / "tok")
    text = "naïve 猫 🙂🚀 日本語 ß the cat"
    ids = tokenizer.encode(text)
    assert any("\ufffd" in tokenizer.decode([i]) for i in ids)  # some tokens are parts of characters
    stream = TextStream(tokenizer.decode)
    pieces = [stream.push(i) for i in ids] + [stream.finish()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UserError, match="empty"):
        TextStream(byte_decode, [""])
