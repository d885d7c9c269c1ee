"""Prompt-answer pairs: the loss on the answer alone, and rows as a pure function of (seed, row)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published import published_tokenizer

from centime.data.chats import ChatRecord, samples
from centime.data.pairs import PackedPairs, PairLoader
from centime.data.rows_packing import packed
from centime.data.tokenizers import ChatEncoder, Tokenizer
from centime.errors import UserError


def write(path: Path, records: list[Any]) -> Path:
    raw = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [{"prompt": f"{number} + 1 =", "answer": f" {number + 1}"} for number in range(37)]
    return write(tmp_path_factory.mktemp("pairs") / "sums.jsonl.gz", records)


def test_the_mask_covers_the_answer_and_its_end_alone(tokenizer: Tokenizer, sums: Path) -> None:
    loader = PairLoader(sums, tokenizer, 64, seed=0)
    tokens, mask = loader.rows(0, 37)
    assert tokens.shape == mask.shape
    assert tokens.shape[1] % 16 == 0
    answers = set()
    for row, on in zip(tokens, mask, strict=True):
        answer = tokenizer.decode(row[on])
        length = int((row != tokenizer.pad_id).sum())
        prompt = tokenizer.decode(row[:length][~on[:length]])
        assert answer.endswith("<｜end▁of▁sentence｜>")
        assert int(row[on][-1]) == tokenizer.eos_id
        number = int(answer.removesuffix("<｜end▁of▁sentence｜>"))
        assert prompt == f"<｜begin▁of▁sentence｜><｜User｜>{number - 1} + 1 =<｜Assistant｜>"
        assert (row[length:] == tokenizer.pad_id).all()
        assert not on[length:].any()
        assert row[: int(on.argmax())].tolist() == tokenizer.encode(prompt), "as generation will see it"
        answers.add(number)
    assert answers == set(range(1, 38)), "an epoch holds every pair once"
    assert loader.total_tokens == mask.sum()


def test_rows_are_a_pure_function_of_seed_and_row(tokenizer: Tokenizer, sums: Path) -> None:
    whole, _ = PairLoader(sums, tokenizer, 64, seed=3).rows(0, 37 * 4)
    known = [tuple(row[row != tokenizer.pad_id]) for row in whole]
    assert Counter(known) == dict.fromkeys(set(known), 4)
    assert len(set(known)) == 37
    assert known[:37] != known[37:74]
    for first, count in ((0, 1), (30, 20), (36, 2), (100, 37)):
        tokens, mask = PairLoader(sums, tokenizer, 64, seed=3).rows(first, count)
        assert [tuple(row[row != tokenizer.pad_id]) for row in tokens] == known[first : first + count]
        assert mask.any(axis=1).all()
    other, _ = PairLoader(sums, tokenizer, 64, seed=4).rows(0, 37)
    assert [tuple(row[row != tokenizer.pad_id]) for row in other] != known[:37]
    assert PairLoader(sums, tokenizer, 64, seed=3).fingerprint != PairLoader(sums, tokenizer, 64, seed=4).fingerprint
    empty, _ = PairLoader(sums, tokenizer, 64).rows(5, 0)
    assert empty.shape[0] == 0


CONVERSATION = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "ignored"},
]


@pytest.mark.parametrize("version", ["ours", "v2", "v3"])
def test_conversations_teach_every_answer(
    tokenizer: Tokenizer, request: pytest.FixtureRequest, tmp_path: Path, version: str
) -> None:
    """Under DeepSeek's own templates too; what the user says last teaches nothing and is left out."""
    path = write(tmp_path / "c.jsonl", [{"messages": CONVERSATION}])
    if version != "ours":
        tokenizer = published_tokenizer(request.getfixturevalue("shared"), f"deepseek-{version}")
    tokens, mask = PairLoader(path, tokenizer, 64).rows(0, 1)
    cut = np.split(mask[0], np.flatnonzero(np.diff(mask[0])) + 1)
    parts = [tokenizer.decode(part) for part in np.split(tokens[0], np.flatnonzero(np.diff(mask[0])) + 1)]
    said = [part for part, on in zip(parts, cut, strict=True) if on[0]]
    assert [part.strip() for part in said] == ["1<｜end▁of▁sentence｜>", "2<｜end▁of▁sentence｜>"]
    assert "ignored" not in "".join(parts)


def test_segments_join_to_the_rendered_text(tokenizer: Tokenizer) -> None:
    [cut] = samples(ChatEncoder(tokenizer), ChatRecord(CONVERSATION[:5]), "here")
    assert "".join(text for text, _ in cut) == tokenizer.render_chat(CONVERSATION[:5])
    assert [on for _, on in cut] == [False, True, False, True]


def test_pairs_that_are_too_long_are_left_out_and_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": "a", "answer": "b"}, {"prompt": "a", "answer": "xyz" * 100}])
    loader = PairLoader(path, tokenizer, 16)
    assert (loader.pairs, loader.skipped) == (1, 1)
    assert loader.rows(0, 2)[0].shape == (2, 16)
    exact = len(
        tokenizer.encode(
            tokenizer.render_chat([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        )
    )
    assert PairLoader(path, tokenizer, exact - 1).rows(0, 1)[0].shape == (1, exact), "S + 1 tokens fill a row"
    with pytest.raises(UserError, match=r"Every pair of .*p\.jsonl is longer than a row of 2 tokens .*Raise"):
        PairLoader(path, tokenizer, 2)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "a", "answer": "b"}, r"line 1 has the keys 'question', 'answer'; expected \{\"prompt\""),
        ("x", "line 1 has a str"),
        ({"prompt": "a", "answer": 5}, "line 1: every message needs a role and a content, both text"),
        ({"messages": [{"role": "user", "content": "a"}]}, "line 1 has no answer: no message of the role 'assistant'"),
        ({"messages": {}}, "line 1: every message needs"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tokenizer: Tokenizer, tmp_path: Path, record: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PairLoader(write(tmp_path / "p.jsonl", [record]), tokenizer, 16)


def test_an_empty_or_absent_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"p\.jsonl holds no pairs: it is empty"):
        PairLoader(write(tmp_path / "p.jsonl", []), tokenizer, 16)
    with pytest.raises(UserError, match=r"q\.jsonl cannot be opened"):
        PairLoader(tmp_path / "q.jsonl", tokenizer, 16)
    (tmp_path / "r.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match=r"r\.jsonl\.gz is damaged"):
        PairLoader(tmp_path / "r.jsonl.gz", tokenizer, 16)


def test_what_is_too_long_is_cut_or_refused_as_asked(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": "a", "answer": "b"}, {"prompt": "a", "answer": "xyz" * 100}])
    cut = PairLoader(path, tokenizer, 16, too_long="cut")
    assert (cut.pairs, cut.skipped, cut.cut) == (2, 0, 1)
    lengths = [int(mask.sum()) for mask in cut.rows(0, 2)[1]]
    assert max(lengths) > 10, "what is left of the answer is learned"
    assert cut.said() == [f"1 sample of {path} cut to 16 tokens."]
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 has [0-9]+ tokens, more than a row of 16\. Raise"):
        PairLoader(path, tokenizer, 16, too_long="refuse")
    write(path, [{"prompt": "a", "answer": "b"}, {"prompt": "xyz" * 100, "answer": "a"}])
    assert PairLoader(path, tokenizer, 16, too_long="cut").skipped == 1, "of its answer nothing would be left"


def test_packed_rows_hold_every_sample_once_an_epoch(tokenizer: Tokenizer, sums: Path) -> None:
    plain, loader = PairLoader(sums, tokenizer, 64, seed=3), PackedPairs(sums, tokenizer, 64, seed=3)
    assert loader.pairs < plain.pairs / 2
    for epoch in range(2):
        tokens, mask, examples = loader.packed_rows(epoch * loader.pairs, loader.pairs)
        found = Counter(
            (tuple(tokens[r][examples[r] == n]), tuple(mask[r][examples[r] == n]))
            for r in range(loader.pairs)
            for n in range(1, examples[r].max() + 1)
        )
        alone = ((row[: len(on)], on) for row, on in zip(*plain.rows(0, 37), strict=True))
        assert found == Counter(
            (tuple(row[row != tokenizer.pad_id]), tuple(on[row != tokenizer.pad_id])) for row, on in alone
        )
        assert tokens.shape[1] <= 65
        assert (tokens[examples == 0] == tokenizer.pad_id).all()
    assert loader.fingerprint != plain.fingerprint
    assert "rows of 64 tokens" in loader.said()[0]


@given(st.lists(st.integers(1, 20), max_size=60))
def test_packing_is_tight_and_loses_nothing(lengths: list[int]) -> None:
    rows = packed(lengths, 20)
    assert sorted(example for row in rows for example in row) == list(range(len(lengths)))
    filled = [sum(lengths[example] for example in row) for row in rows]
    assert all(0 < used <= 20 for used in filled)
    assert sum(used <= 10 for used in filled) <= 1, "two half empty rows would have been one"
