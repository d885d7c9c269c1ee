"""Streamed text: whole characters, whatever the token boundaries; nothing past a stop string, wherever it falls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small import small_tokenizer
from tests.work import lines_run

from centime.errors import UserError
from centime.serve.engine.detokenizer import Detokenizer


def byte_decode(ids: Sequence[int]) -> str:
    """The hardest tokenizer: every token is one byte."""
    return bytes(ids).decode("utf-8", "replace")


def streamed(ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[list[str], Detokenizer]:
    stream = Detokenizer(byte_decode, stop)
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


@given(st.text("ab🙂", max_size=30), st.lists(st.text("ab🙂", min_size=1, max_size=6), min_size=1, max_size=3))
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
    stream = Detokenizer(tokenizer.decode)
    pieces = [stream.push(i) for i in ids] + [stream.finish()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UserError, match="empty"):
        Detokenizer(byte_decode, [""])


@given(st.lists(st.text("ab", min_size=1, max_size=9), max_size=12), st.text("ab", min_size=1, max_size=8))
def test_what_is_held_back_is_the_longest_beginning_of_a_stop_string(pieces: list[str], stop: str) -> None:
    """Also where a token brings more characters than the stop string has."""
    stream, text, given_out = Detokenizer(lambda ids: "".join(pieces[i] for i in ids), [stop]), "", ""
    for number, piece in enumerate(pieces):
        given_out, text = given_out + stream.push(number), text + piece
        if stop in text:
            assert given_out == text[: text.find(stop)]
            return
        held = max(n for n in range(len(stop)) if text.endswith(stop[:n]))
        assert given_out == text[: len(text) - held]


@pytest.mark.parametrize("sign", ["a", "b"])
def test_a_token_costs_no_more_with_long_stop_strings(sign: str) -> None:
    """Neither where the text nearly is one, nor where it is nothing like it."""

    def work(length: int) -> int:
        stream = Detokenizer(byte_decode, ["a" * length + "!"])
        return lines_run(lambda: [stream.push(ord(sign)) for _ in range(2000)])

    assert work(1000) < 2 * work(10)
