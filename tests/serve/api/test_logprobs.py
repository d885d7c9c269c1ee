"""Log-probabilities in their two shapes, and the place of every token in its text, without a server."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small import WORDS, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.serve.api.logprobs import FLOOR, Pieces, Placing, for_chat, for_completion, place_prompt
from centime.serve.engine.request import TokenLogprob
from centime.serve.token_bytes import token_bytes


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def found(token: int, logprob: float = -1.0, *best: tuple[int, float]) -> TokenLogprob:
    return TokenLogprob(token, logprob, best)


def byte(tokenizer: Tokenizer, raw: bytes) -> int:
    """The token that stands for one byte."""
    return next(token for token in range(tokenizer.vocab_size) if token_bytes(tokenizer, token) == raw)


def test_a_character_belongs_to_the_token_that_completes_it(tokenizer: Tokenizer) -> None:
    pieces, ids = Pieces(tokenizer), tokenizer.encode("🙃")  # not among the words that it knows
    assert len(ids) > 1
    assert [(pieces.next(token), pieces.within_character) for token in ids] == [
        *[("", True)] * (len(ids) - 1),
        ("🙃", False),
    ]


@settings(max_examples=30)
@given(st.text(max_size=12), st.integers(0, 9), st.data())
def test_tokens_are_placed_once_their_text_is_out(
    tokenizer: Tokenizer, text: str, offset: int, data: st.DataObject
) -> None:
    """However the text and the tokens come: joined they are the text, each at its offset, none before its text."""
    ids = tokenizer.encode(text, parse_special=False)
    placing, placed, out, given_ = Placing(tokenizer, offset), [], "", 0
    while given_ < len(ids) or len(out) < len(text):
        more, letters = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 4))
        piece = text[len(out) : len(out) + letters]
        if not piece and given_ + more <= given_:
            more, piece = 1, text[len(out) : len(out) + 1]
        out += piece
        placed += placing.take(piece, [found(token) for token in ids[given_ : given_ + more]])
        given_ += more
        assert sum(len(one.text) for one in placed) <= len(out)
    placed += placing.end()
    assert "".join(one.text for one in placed) == text
    assert [one.found.token for one in placed if one.found] == ids
    assert [one.offset for one in placed] == [
        offset + sum(len(one.text) for one in placed[:at]) for at in range(len(placed))
    ]


def test_tokens_wait_for_all_of_their_text_and_what_a_stop_cut_is_the_last_one_s(tokenizer: Tokenizer) -> None:
    the, cat = tokenizer.encode("the"), tokenizer.encode(" cat")
    placing = Placing(tokenizer, 3)
    assert placing.take("", [found(token) for token in (*the, *cat)]) == []
    early = [*placing.take("th", []), *placing.take("e c", [])]
    assert "the c".startswith("".join(one.text for one in early))
    assert early[0].offset == 3
    late = placing.end()
    assert "".join(one.text for one in (*early, *late)) == "the c"
    assert late
    assert [one.found.token for one in (*early, *late) if one.found] == [*the, *cat]


@pytest.mark.parametrize("begun", [False, True])
def test_a_prompt_s_tokens_stand_in_its_text(tokenizer: Tokenizer, begun: bool) -> None:
    ids = tokenizer.encode(WORDS)
    first = [0] if begun else []
    placed = place_prompt(tokenizer, WORDS, [*first, *ids], begun)
    assert len(placed) == len(first) + len(ids)
    assert "".join(text for text, _ in placed) == WORDS
    assert all(WORDS.startswith(text, at) for text, at in placed)
    assert placed[0] == (("", 0) if begun else (WORDS[: len(placed[0][0])], 0))
    assert place_prompt(tokenizer, WORDS + "!", ids, False)[-1][0].endswith("!"), "the last one has what is left"


def test_a_chat_s_tokens_have_their_bytes_and_no_infinity(tokenizer: Tokenizer) -> None:
    (a,), half = tokenizer.encode("a"), byte(tokenizer, b"\xf0")
    (entry,) = for_chat(tokenizer, [found(a, -0.5, (a, -0.5), (half, -math.inf))])
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("a", -0.5, [97])
    assert [(one["token"], one["logprob"], one["bytes"]) for one in entry["top_logprobs"]] == [
        ("a", -0.5, [97]),
        ("\ufffd", FLOOR, [0xF0]),
    ]


def test_a_completion_s_tokens_are_parallel_lists(tokenizer: Tokenizer) -> None:
    (a,), half = tokenizer.encode("a"), byte(tokenizer, b"\xf0")
    placing = Placing(tokenizer, 7)
    placed = placing.take("a", [found(a, -math.inf, (half, -0.1), (a, -math.inf))])
    assert for_completion(tokenizer, placed) == {
        "tokens": ["a"],
        "token_logprobs": [FLOOR],
        "top_logprobs": [{r"bytes:\xf0": -0.1, "a": FLOOR}],
        "text_offset": [7],
    }
