"""Shards on disk: what is written comes back, and whatever happens to a file is a sentence that names it."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.made import numbered, write_split

from centime.data.shards.shard_set import ShardSet
from centime.data.shards.writer import ShardWriter
from centime.errors import UserError


def test_documents_come_back_as_written(tmp_path: Path) -> None:
    documents = numbered([3, 49, 1, 120, 7])
    shards = ShardSet(write_split(tmp_path, documents))
    assert [shards.document(number).tolist() for number in range(5)] == documents
    assert shards.index.bytes == 2 * sum(map(len, documents))
    assert len(shards.index.shards) == 3, "a document never crosses shards, and closes the one that it fills"
    shards.check()


def test_how_documents_are_handed_over_changes_no_byte(tmp_path: Path) -> None:
    """One at a time, or all at once: the shards end at the same documents."""
    documents = numbered([3, 49, 1, 120, 7, 50, 2])
    write_split(tmp_path / "at once", documents)
    with ShardWriter(tmp_path / "singly", "train", 60000, "a", 50) as writer:
        for document in documents:
            length = np.array([len(document)])
            writer.append(np.array(document), length, length * 2)
        writer.finish({})
    for file in (tmp_path / "at once").iterdir():
        assert (tmp_path / "singly" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65536, "uint16"), (65537, "uint32")])
def test_two_bytes_where_the_vocabulary_allows(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    shards = ShardSet(write_split(tmp_path, [[vocab_size - 1, 0]], vocab_size=vocab_size))
    assert shards.index.dtype == dtype
    assert shards.document(0).tolist() == [vocab_size - 1, 0]


def _flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)


def test_one_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    write_split(tmp_path, numbered([30, 30, 30]))
    _flip(tmp_path / "tokens-00001.bin", 11)
    shards = ShardSet(tmp_path)  # opening reads no tokens
    with pytest.raises(UserError, match=r"tokens-00001\.bin is corrupt: its SHA-256 is .* Copy it again, or: Run"):
        shards.check()


def test_a_corrupt_documents_file_is_found_on_opening(tmp_path: Path) -> None:
    write_split(tmp_path, numbered([30, 30]))
    _flip(tmp_path / "documents-00000.bin", 0)
    with pytest.raises(UserError, match=r"documents-00000\.bin is corrupt"):
        ShardSet(tmp_path)


def test_a_corrupt_documents_file_whose_sums_hold_is_found_by_check(tmp_path: Path) -> None:
    write_split(tmp_path, numbered([20, 20, 20]))
    table = np.fromfile(tmp_path / "documents-00000.bin", dtype="<i8").reshape(-1, 2)
    table[0, 0] += 1
    table[1, 0] -= 1
    table.tofile(tmp_path / "documents-00000.bin")
    with pytest.raises(UserError, match=r"documents-00000\.bin is corrupt: its SHA-256"):
        ShardSet(tmp_path).check()


@pytest.mark.parametrize("name", ["tokens-00001.bin", "documents-00000.bin"])
def test_a_truncated_file(tmp_path: Path, name: str) -> None:
    write_split(tmp_path, numbered([30, 30, 30]))
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[:-3])
    with pytest.raises(UserError, match=rf"{name} is truncated: {len(raw) - 3} bytes, expected {len(raw)}\. Copy"):
        ShardSet(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    write_split(tmp_path, numbered([30]))
    (tmp_path / "tokens-00000.bin").unlink()
    with pytest.raises(UserError, match=r"tokens-00000\.bin is missing"):
        ShardSet(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("{", "cannot be read as JSON"),
        ('{"made": {"fim": NaN}}', "holds NaN, which is no number of JSON, in made.fim"),
        ("{}", "is not an index of format centime-shards/1 "),
        ('{"format": "centime-shards/2"}', "is not an index of format centime-shards/1 "),
    ],
)
def test_an_unreadable_index(tmp_path: Path, text: str, says: str) -> None:
    write_split(tmp_path, numbered([30]))
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(UserError, match=rf"index\.json {says}.*prepare` again"):
        ShardSet(tmp_path)


def test_an_index_that_counts_wrong(tmp_path: Path) -> None:
    write_split(tmp_path, numbered([30]))
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**index, "tokens": 31}))
    with pytest.raises(UserError, match="counts 31 tokens in 1 documents, its shards hold 30 in 1"):
        ShardSet(tmp_path)


def test_a_token_beyond_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds token 9, beyond the vocabulary of 9"):
        ShardSet(write_split(tmp_path, [[1, 9]], vocab_size=9)).check()


def test_more_shards_than_are_kept_open(tmp_path: Path) -> None:
    """Three hundred shards read at random, with fewer file descriptors than shards."""
    import resource

    gc.collect()  # files that earlier tests left to the garbage collector do not count
    documents = numbered([4] * 300)
    shards = ShardSet(write_split(tmp_path, documents, shard_tokens=4))
    assert len(shards.index.shards) == 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        for number in np.random.default_rng(0).permutation(300):
            assert shards.document(int(number)).tolist() == documents[number]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
