"""Whatever bytes a file holds and whatever it is called: its documents, all of them, or a sentence that names it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from centime.data.sources import json_records, source_file, text_files
from centime.data.sources.left_out import LeftOut, ReadOptions
from centime.data.sources.readers import read_documents, records
from centime.data.sources.source_file import SourceFile, kind_of
from centime.errors import UserError

NAMES = [
    kind + compression
    for kind in ("a.txt", "a.json", "a.jsonl", "a.parquet")
    for compression in ("", ".gz", ".zst", ".bz2", ".xz")
]
PROPERTY = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONGEST, BLOCK = 60, 8


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every boundary falls somewhere within a few bytes."""
    monkeypatch.setattr(source_file, "BLOCK", BLOCK)
    for module in (text_files, json_records):
        monkeypatch.setattr(module, "LONGEST", LONGEST)


def in_memory(name: str, raw: bytes, *, met: bool = False, stream: bool = False) -> SourceFile:
    kind, compression = kind_of(name)
    return SourceFile(name, len(raw), "stream" if stream else kind, compression, lambda: io.BytesIO(raw), met)


def read(file: SourceFile, left_out: LeftOut | None = None, **options: Any) -> list[str]:
    return [text for text, _ in read_documents(file, ReadOptions(**options), left_out or LeftOut())]


KEYS = st.sampled_from(["text", "a", "messages"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
JSON_BYTES = st.builds(
    lambda values, gap, indent: gap.join(json.dumps(value, indent=indent) for value in values).encode(),
    st.lists(JSON, max_size=4),
    st.sampled_from(["\n", ",", " ", "\r\n\n"]),
    st.sampled_from([None, 1]),
)
PIECES = st.sampled_from([b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b"\r", b'{"text": "x"}', b"\\ud800"])
RAW = st.binary(max_size=80) | JSON_BYTES | st.lists(PIECES | st.binary(max_size=2), max_size=30).map(b"".join)


@PROPERTY
@given(name=st.sampled_from(NAMES), raw=RAW, met=st.booleans(), stream=st.booleans(), allowed=st.integers(0, 2))
@example(name="a.json", raw=b"[{", met=False, stream=True, allowed=0)
def test_documents_or_a_sentence(name: str, raw: bytes, met: bool, stream: bool, allowed: int) -> None:
    packed = [raw]
    for ending, compress in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        packed += [compress(raw)] if name.endswith(ending) or stream else []
    for stored in packed:
        file = in_memory(name, stored, met=met, stream=stream)
        for undecodable in ("strict", "replace", "skip"):
            left_out = LeftOut(allowed)
            for text in or_a_sentence(name, lambda f=file, u=undecodable, o=left_out: read(f, o, undecodable=u)):  # type: ignore[misc]
                assert isinstance(text.encode(), bytes)
            assert left_out.reasons["malformed lines"] <= allowed
        or_a_sentence(name, lambda f=file: list(records(f)))  # type: ignore[misc]


def or_a_sentence(name: str, work: Callable[[], list[Any]]) -> list[Any]:
    """What `work` gives, or nothing when it refuses in a sentence that names the file."""
    try:
        return work()
    except UserError as error:
        return [] if str(error).startswith(name) else [error]


TEXT = st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"]), max_size=40)


@PROPERTY
@given(text=st.lists(TEXT | st.sampled_from(["\n", " ", "é" * 50, "ab" * 60, "--"]), max_size=12).map("".join))
def test_a_text_comes_back_whole_in_pieces_of_a_bounded_length(text: str) -> None:
    if text.startswith(("version https://git-lfs", "PK", "BZh", "%PDF")):
        return
    found = read(in_memory("a.txt", text.encode()))
    assert "".join(found) == text
    assert max((len(piece.encode()) for piece in found), default=0) <= LONGEST + LONGEST // 4 + 2 * BLOCK


@PROPERTY
@given(st.lists(st.text("ab-\n é", max_size=70), max_size=6), st.sampled_from(["-", "--", "\n\n", "a-a", "<|é|>"]))
def test_documents_are_those_between_the_separators(parts: list[str], mark: str) -> None:
    text = mark.join(parts)
    expected = [part.strip("\r\n") for part in text.split(mark)]
    if not expected[-1] and not text.split(mark)[-1]:
        expected.pop()
    found = read(in_memory("a.txt", text.encode()), separator=mark)
    if all(len(part.encode()) < LONGEST - BLOCK for part in expected):
        assert found == expected
    assert "".join(found).replace("\n", "") == "".join(expected).replace("\n", "")


OBJECT = st.dictionaries(KEYS, st.text('a\u00e9\\"', max_size=3), min_size=1, max_size=2)


@PROPERTY
@given(values=st.lists(OBJECT, max_size=6))
def test_every_shape_of_json_gives_the_same_records(values: list[dict[str, str]]) -> None:
    lines = "".join(json.dumps(value) + "\n" for value in values)
    array = json.dumps(values, indent=2, ensure_ascii=False)
    spread = "\n".join(json.dumps(value, indent=1) for value in values)
    assume(all(len(line) <= LONGEST for line in lines.encode().splitlines()))
    for text in (lines, array, spread):
        assert [value for _, value, _ in records(in_memory("a.json", text.encode()))] == values
