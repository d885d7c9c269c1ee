"""Prefixes on disk survive a restart, are verified when read, and keep to their room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_model, small_tokenizer

from centime.data.tokenizer import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.blocks import block_key, root_key
from centime.serve.engine.disk import DiskTier

PROMPT = list(range(3, 25))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer)


def answer(model: Transformer, tokenizer: Tokenizer, folder: Path, **settings: object) -> Asked:
    """One answer of a server that is started for it and stopped after it."""
    served, request = engine(model, tokenizer, disk=folder, **settings), Asked(PROMPT, max_tokens=5)
    run(served, request)
    served.stop()
    assert request.tokens == brute_force(model, PROMPT, 5)
    return request


def test_a_restarted_server_finds_what_it_computed(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 0
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # five blocks of four


def test_another_models_prefixes_are_not_taken(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    answer(model, tokenizer, tmp_path)
    other = small_model(tokenizer, seed=7)
    assert answer(other, tokenizer, tmp_path).end.usage.hit_tokens == 0


@pytest.mark.parametrize("harm", ["cut", "flip", "swap", "empty"])
def test_a_damaged_file_is_a_miss(model: Transformer, tokenizer: Tokenizer, tmp_path: Path, harm: str) -> None:
    answer(model, tokenizer, tmp_path)
    first, *others = sorted(tmp_path.glob("*.kv"))
    for file in (first, *others):
        whole = file.read_bytes()
        if harm == "cut":
            file.write_bytes(whole[: len(whole) // 2])
        elif harm == "flip":
            file.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
        elif harm == "swap" and file != first:
            file.write_bytes(first.read_bytes())
        elif harm == "empty":
            file.write_bytes(b"")
    hits = answer(model, tokenizer, tmp_path).end.usage.hit_tokens
    assert hits in ((0, 4) if harm == "swap" else (0,))
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # written anew


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    entries, root = torch.ones(2, 4, 8), root_key("")
    room = DiskTier(tmp_path / "one", 10**6, "model")
    room.put(block_key(root, [0]), root, [0], entries)
    room.close()
    size = room.bytes
    tier = DiskTier(tmp_path / "three", 3 * size + size // 2, "model")
    for token in range(3):
        tier.put(block_key(root, [token]), root, [token], entries * token)
    tier.close()
    again = DiskTier(tmp_path / "three", 3 * size + size // 2, "model")
    assert again.get(block_key(root, [0]), root, [0]) is not None
    again.put(block_key(root, [3]), root, [3], entries)
    again.close()
    held = [token for token in range(4) if again.get(block_key(root, [token]), root, [token]) is not None]
    assert held == [0, 2, 3]
    assert again.bytes == sum(file.stat().st_size for file in (tmp_path / "three").iterdir()) <= again.limit


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give another one"):
        DiskTier(tmp_path / "file" / "below", 10**6, "model")
