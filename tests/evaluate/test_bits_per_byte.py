"""Bits per byte: every token charged once, in context, whatever the windows; the sums a decoder could undo."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small import small_folder, small_model, small_tokenizer

from centime.data.shards.prepare import Preparation, prepare
from centime.data.sources import Sources
from centime.data.split import digest, is_held_out
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.evaluate.bits_per_byte import Text, _batches, bits_per_byte, read_files, read_split
from centime.evaluate.calibration import importance_on
from centime.model import Transformer
from centime.model.quantised.calibrate import importance
from centime.serve.loading import load_model

LINES = "the cat sat on the mat\nand the dog ate the hat é 猫\ndef f(x): return x + 1\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tok") / "tokenizer")


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer)


def log2_probabilities(model: Transformer, ids: list[int]) -> list[float]:
    """-log2 p of ids[1:], each from all the ids before it."""
    with torch.no_grad():
        logits = model(torch.tensor([ids[:-1]]))[0].double()
    return (-torch.log_softmax(logits, -1)[range(len(ids) - 1), ids[1:]] / math.log(2)).tolist()


def test_what_inputs_count_is_of_the_text_from_its_beginning(tmp_path: Path) -> None:
    folder, text = small_folder(tmp_path / "model", positions=16), tmp_path / "text.txt"
    text.write_text(LINES, encoding="utf-8")
    heard: list[tuple[int, int]] = []
    found = importance_on(folder, text, lambda number, of: heard.append((number, of)))
    opened = load_model(folder)
    [document] = read_files([text], opened.tokenizer)[0].documents
    rows = [torch.from_numpy(document[at : at + 16])[None] for at in range(0, len(document), 16)]
    assert heard == [(number, len(rows)) for number in range(len(rows))]
    expected = importance(opened.model, rows)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 30), st.data())
def test_every_token_is_charged_once_and_with_its_context(length: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    most = data.draw(st.integers(1, 5))
    stream = np.arange(length, dtype=np.int64)  # a token is its own position
    charged: list[int] = []
    for rows, first in _batches(stream, window, stride, most):
        assert rows.shape[0] <= most
        for row in rows:
            assert len(row) - 1 <= window
            assert (np.diff(row) == 1).all()
            for target in row[first + 1 :]:
                charged.append(int(target))
                seen = int(target) - int(row[0])  # tokens of context
                assert seen >= min(int(target), window - stride + 1)
    assert charged == list(range(1, length))


@pytest.mark.parametrize(("length", "batches"), [(1, []), (2, [([[0, 1]], 0)]), (3, [([[0, 1, 2]], 0)])])
def test_a_text_of_few_tokens(length: int, batches: list[tuple[list[list[int]], int]]) -> None:
    found = _batches(np.arange(length, dtype=np.int64), 8, 4, 2)
    assert [(rows.tolist(), first) for rows, first in found] == batches


def test_one_window_is_the_plain_sum(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat")
    (tmp_path / "b.txt").write_text("é 猫")
    text, contents = read_files([tmp_path / "a.txt", tmp_path / "b.txt"], tokenizer)
    assert b"".join(contents) == "the cat saté 猫".encode()
    ids: list[int] = []
    for part in ("the cat sat", "é 猫"):
        ids += [tokenizer.bos_id, *tokenizer.encode(part), tokenizer.eos_id]  # type: ignore[list-item]
    expected = log2_probabilities(model, ids)
    outcome = bits_per_byte(model, text)
    assert outcome.bits == pytest.approx(sum(expected), rel=1e-5)
    assert (outcome.tokens, outcome.bytes, outcome.documents) == (len(expected), len("the cat saté 猫".encode()), 2)
    assert outcome.bits_per_byte == pytest.approx(sum(expected) / outcome.bytes, rel=1e-5)
    assert outcome.nats_per_token == pytest.approx(sum(expected) * math.log(2) / len(expected), rel=1e-5)


def test_windows_equal_a_loop_over_tokens(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINES * 2)
    text, _ = read_files([tmp_path / "a.txt"], tokenizer)
    stream = np.concatenate(list(text.documents)).tolist()
    window, stride = 16, 5
    bits = sum(log2_probabilities(model, stream[: window + 1]))
    done = window
    while done < len(stream) - 1:
        more = min(stride, len(stream) - 1 - done)
        done += more
        bits += sum(log2_probabilities(model, stream[done - window : done + 1])[-more:])
    outcome = bits_per_byte(model, text, window=window, stride=stride)
    assert outcome.bits == pytest.approx(bits, rel=1e-5)
    assert (outcome.window, outcome.stride) == (window, stride)


def test_a_uniform_model_needs_log2_of_the_vocabulary(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = small_model(tokenizer)
    with torch.no_grad():
        model.head_weight.zero_()
    (tmp_path / "a.txt").write_text(LINES)
    text, _ = read_files([tmp_path / "a.txt"], tokenizer)
    outcome = bits_per_byte(model, text, window=8)
    assert outcome.bits == pytest.approx((text.tokens - 1) * math.log2(tokenizer.vocab_size), rel=1e-6)


def test_a_prepared_folder_means_its_held_out_part(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = [f"{number}: the cat sat on the mat\n" for number in range(40)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    out = tmp_path / "out"
    prepare(Sources([str(tmp_path / "texts.jsonl")]), tokenizer.folder, out, Preparation(holdout=0.3))
    text, contents = read_split(out, tokenizer)
    held = [content.decode() for content in contents]
    assert held == [each for each in texts if is_held_out(digest(each.encode()), 0.3)]
    assert 0 < text.bytes == len("".join(held)) < len("".join(texts)) / 2
    assert [row.tolist() for row in text.documents] == [
        [tokenizer.bos_id, *tokenizer.encode(each), tokenizer.eos_id] for each in held
    ]
    for folder, expected in ((out / "holdout", held), (out / "train", [each for each in texts if each not in held])):
        assert [content.decode() for content in read_split(folder, tokenizer)[1]] == expected
    other = small_tokenizer(tmp_path / "other")
    (tmp_path / "other" / "tokenizer_config.json").write_text("{}")
    assert read_split(out, other)[0].bytes == text.bytes, "the ids decide, not the folder"
    prepare(Sources([str(tmp_path / "texts.jsonl")]), tokenizer.folder, tmp_path / "fim", Preparation(fim=0.9))
    with pytest.raises(UserError, match=r"decodes to [\d,]+ bytes and its text had [\d,]+: it was prepared with fill"):
        read_split(tmp_path / "fim", tokenizer)


def test_special_tokens_spelled_in_a_file_are_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a<｜end▁of▁sentence｜>b")
    text, _ = read_files([tmp_path / "a.txt"], tokenizer)
    assert list(text.documents[0]).count(tokenizer.eos_id) == 1


def test_training_mode_is_put_back(tokenizer: Tokenizer) -> None:
    model = small_model(tokenizer).train()
    bits_per_byte(model, Text([np.array([0, 5, 6, 1])], 4))
    assert model.training


def test_what_cannot_be_evaluated_gets_a_sentence(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(UserError, match="not UTF-8"):
        read_files([tmp_path / "latin"], tokenizer)
    with pytest.raises(UserError, match="no byte"):
        read_files([tmp_path / "empty"], tokenizer)
    with pytest.raises(UserError, match="cannot be read"):
        read_files([tmp_path / "absent"], tokenizer)
    with pytest.raises(UserError, match="no prepared data"):
        read_split(tmp_path, tokenizer)
    text = Text([np.array([0, 5, 6])], 2)
    with pytest.raises(UserError, match="positions"):
        bits_per_byte(model, text, window=65)
    with pytest.raises(UserError, match="stride"):
        bits_per_byte(model, text, window=8, stride=9)
    with pytest.raises(UserError, match="not this model's"):
        bits_per_byte(model, Text([np.array([0, tokenizer.vocab_size])], 2))
    broken = small_model(tokenizer)
    with torch.no_grad():
        broken.head_weight.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        bits_per_byte(broken, text)
