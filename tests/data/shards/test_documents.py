"""Documents as tokens: the split by content, and fill-in-the-middle that loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.published import published_tokenizer

from centime.data.shards.documents import Encoded, Fim, tokenise
from centime.data.split import digest, is_held_out
from centime.data.tokenizers.tokenizer import FIM_BEGIN, FIM_END, FIM_HOLE, Tokenizer
from centime.errors import UserError


def rows(encoded: Encoded) -> list[list[int]]:
    ends = encoded.lengths.cumsum()
    return [encoded.tokens[end - length : end].tolist() for end, length in zip(ends, encoded.lengths, strict=True)]


def unfilled(row: list[int], tokenizer: Tokenizer) -> tuple[str, bool]:
    """(text, whether it was rearranged) of a row in PSM form or whole, held against the form's grammar."""
    assert (row[0], row[-1]) == (tokenizer.bos_id, tokenizer.eos_id)
    body = row[1:-1]
    begin, hole, end = (tokenizer.token_id(name) for name in (FIM_BEGIN, FIM_HOLE, FIM_END))
    if body[:1] != [begin]:
        assert not {begin, hole, end} & set(body)
        return tokenizer.decode(body), False
    assert [body.count(mark) for mark in (begin, hole, end)] == [1, 1, 1]
    at, to = body.index(hole), body.index(end)
    prefix, suffix, middle = body[1:at], body[at + 1 : to], body[to + 1 :]
    assert at < to
    return "".join(tokenizer.decode(part) for part in (prefix, middle, suffix)), True


@settings(deadline=None, max_examples=100)
@given(texts=st.lists(st.text(min_size=1), max_size=5), seed=st.integers(0, 5))
def test_fill_in_the_middle_loses_nothing(tokenizer: Tokenizer, texts: list[str], seed: int) -> None:
    """Any text, cut anywhere between characters, comes back whole when its three parts are put in order."""
    train, held = tokenise(tokenizer, texts, 0.0, Fim.of(tokenizer, 0.999, seed))
    assert len(held.lengths) == 0
    back = [unfilled(row, tokenizer) for row in rows(train)]
    assert [text for text, _ in back] == texts
    assert train.fim == sum(filled for _, filled in back)
    assert train.text_bytes.tolist() == [len(text.encode()) for text in texts]
    short = [filled for text, filled in back if len(text) < 3]
    assert not any(short), "nothing to fill in"


def test_rates_hold_and_held_out_documents_stay_whole(tokenizer: Tokenizer) -> None:
    texts = [f"document number {number}" for number in range(4000)]
    train, held = tokenise(tokenizer, texts, 0.25, Fim.of(tokenizer, 0.1, 0))
    assert abs(len(held.lengths) - 1000) < 110  # four standard deviations
    assert abs(train.fim - 300) < 66
    assert held.fim == 0
    assert not any(filled for _, filled in (unfilled(row, tokenizer) for row in rows(held)))
    kept = [unfilled(row, tokenizer)[0] for row in rows(train)]
    apart = [unfilled(row, tokenizer)[0] for row in rows(held)]
    assert sorted(kept + apart) == sorted(texts)
    assert apart == [text for text in texts if is_held_out(digest(text.encode()), 0.25)]
    cuts = {Fim.of(tokenizer, 0.9, seed).cuts(texts[0], 77) for seed in range(40)}  # type: ignore[union-attr]
    assert len(cuts) > 20, "the seed moves the cuts"


def test_a_larger_share_holds_out_what_a_smaller_one_did() -> None:
    contents = [digest(str(number).encode()) for number in range(2000)]
    small = {c for c in contents if is_held_out(c, 0.05)}
    assert small < {c for c in contents if is_held_out(c, 0.2)}
    assert not any(is_held_out(c, 0.0) for c in contents)


def test_a_tokenizer_without_the_tokens_is_refused(shared: Path) -> None:
    v2 = published_tokenizer(shared, "deepseek-v2")
    assert Fim.of(v2, 0.0, 0) is None
    with pytest.raises(UserError, match=r"deepseek-v2 has no <｜fim▁begin｜>, .*which --fim needs"):
        Fim.of(v2, 0.1, 0)
