"""Every kind of file gives its documents, and every kind of damage a sentence that names the file."""

from __future__ import annotations

import bz2
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from centime.data.sources import source_file, text_files
from centime.data.sources.left_out import LeftOut, ReadOptions, read_options
from centime.data.sources.readers import read_documents
from centime.data.sources.specs import expand, local_file
from centime.errors import UserError

TEXTS = ["first\n", "zweiter — ünïcode 🙂\r\nline", "x" * 3_000_000, "", "last"]
LINES = "".join(json.dumps({"text": text, "id": number}) + "\n" for number, text in enumerate(TEXTS)).encode()


def read(path: Path, **options: object) -> list[str]:
    return [text for text, _ in read_documents(local_file(path), ReadOptions(**options), LeftOut())]  # type: ignore[arg-type]


def write_parquet(path: Path, column: str = "text", kind: pa.DataType | None = None) -> None:
    pq.write_table(pa.table({"id": range(len(TEXTS)), column: pa.array(TEXTS, type=kind)}), path, row_group_size=2)


def compressed_twice(compress: Callable[[bytes], bytes]) -> bytes:
    """Two members or frames one after the other, as parallel compressors write them."""
    return compress(LINES[:1000]) + compress(LINES[1000:])


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "b.parquet"])
def test_every_form_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        write_parquet(path)
    elif name == "b.parquet":
        write_parquet(path, kind=pa.large_string())
    elif name.endswith(".gz"):
        path.write_bytes(compressed_twice(gzip.compress))
    elif name.endswith(".zst"):
        path.write_bytes(compressed_twice(zstandard.ZstdCompressor().compress))
    else:
        path.write_bytes(LINES)
    assert read(path) == TEXTS
    positions = [at for _, at in read_documents(local_file(path), ReadOptions(), LeftOut())]
    assert positions == sorted(positions)
    assert positions[-1] == path.stat().st_size


def test_text_files_come_as_they_are(tmp_path: Path) -> None:
    for name, raw in (("a.py", TEXTS[1].encode()), ("a.txt.gz", gzip.compress(TEXTS[1].encode()))):
        (tmp_path / name).write_bytes(raw)
        assert read(tmp_path / name) == [TEXTS[1]], "line ends and all"
    (tmp_path / "empty.txt").touch()
    assert read(tmp_path / "empty.txt") == []


def test_a_huge_text_file_is_cut_at_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST", 3 << 20)
    text = "".join(f"line {number} of ünïcode\n" for number in range(400_000))
    (tmp_path / "a.txt").write_text(text)
    documents = read(tmp_path / "a.txt")
    assert "".join(documents) == text
    assert len(documents) >= 3
    assert max(len(document.encode()) for document in documents) <= 4 << 20
    assert all(document.endswith("\n") for document in documents)


@pytest.mark.parametrize(
    ("block", "held", "at"),
    [
        (b"ab\ncd", 100, 3),
        (b"ab cd", 124, 0),  # so far a line end is waited for
        (b"ab cd", 125, 3),
        ("abé".encode(), 125, 2),
        (b"abcd", 125, 3),
        (b"\x80" * 4, 125, 0),  # no character begins here
    ],
)
def test_a_text_without_line_ends_is_cut_later_and_between_characters(
    monkeypatch: pytest.MonkeyPatch, block: bytes, held: int, at: int
) -> None:
    monkeypatch.setattr(text_files, "LONGEST", 100)
    assert text_files._place_to_cut(block, held) == at


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_a_separator_cuts_a_text_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Wherever the reads fall, within the separator or within a character."""
    monkeypatch.setattr(source_file, "BLOCK", block)
    (tmp_path / "a.txt").write_text("Once é.\n<|endoftext|>\nTwo\n\nparts\n<|endoftext|>\n<|endoftext|>end")
    assert read(tmp_path / "a.txt", separator="<|endoftext|>") == ["Once é.", "Two\n\nparts", "", "end"]
    assert read_options(separator="\\n\\n").separator == "\n\n"


def test_another_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"content": "x"}\n\n{"content": null}\n')
    write_parquet(tmp_path / "a.parquet", "content")
    assert read(tmp_path / "a.jsonl", field="content") == ["x"]
    assert read(tmp_path / "a.parquet", field="content") == TEXTS


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.jsonl", b'{"content": "x"}', r"a\.jsonl, line 1 has no 'text'; its keys are 'content'.*--field"),
        ("a.jsonl", b'{"texts": "x"}', r"Did you mean 'texts'"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "y', r"a\.jsonl, line 2 is not JSON.*cut short: fetch it again"),
        ("a.jsonl", b'["x"]', r"a\.jsonl, line 1 is a JSON list; expected an object"),
        ("a.jsonl", b'{"text": 5}', r"a\.jsonl, line 1: 'text' holds a int; expected text"),
        ("a.jsonl", b'\n{"text": "\xff"}', r"a\.jsonl, line 2 is not UTF-8"),
        ("a.jsonl", b'{"text": "\\ud800"}', r"a\.jsonl, line 1 is not UTF-8 text \(a lone surrogate at character 0\)"),
        ("a.txt", b"abc\xfe", r"a\.txt is not UTF-8 text \(byte 0xfe at offset 3\).*--undecodable skip"),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-9], r"a\.jsonl\.gz is damaged or cut short.*whole gzip file"),
        ("a.jsonl.gz", b"not gzip at all", r"a\.jsonl\.gz is damaged or cut short"),
        ("a.txt.gz", bz2.compress(b"x"), r"a\.txt\.gz is damaged"),
        ("a.jsonl.zst", zstandard.compress(LINES)[:-9], r"a\.jsonl\.zst is damaged or cut short.*whole zstd file"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfdgarbage!", r"a\.jsonl\.zst is damaged"),
        ("a.parquet", b"PAR1 is all it has", r"a\.parquet is damaged or cut short.*whole parquet file"),
        ("a.parquet", b"", r"a\.parquet is damaged or cut short"),
    ],
)  # fmt: skip
def test_damage_is_named(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=message) as refused:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


def test_a_parquet_file_cut_or_corrupted_anywhere(tmp_path: Path) -> None:
    """Never a traceback, whatever bytes are gone."""
    write_parquet(tmp_path / "whole.parquet")
    raw = (tmp_path / "whole.parquet").read_bytes()
    for cut in (4, 100, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.parquet").write_bytes(raw[:cut])
        with pytest.raises(UserError, match=r"cut\.parquet is damaged"):
            read(tmp_path / "cut.parquet")
    (tmp_path / "other.parquet").write_bytes(raw)
    with pytest.raises(UserError, match=r"has no 'content'; its columns are 'id', 'text'"):
        read(tmp_path / "other.parquet", field="content")
    with pytest.raises(UserError, match=r"the column 'id' holds int64; expected text"):
        read(tmp_path / "other.parquet", field="id")


def test_every_cut_of_a_compressed_file_is_noticed(tmp_path: Path) -> None:
    """A download that stopped early must not pass for a short corpus."""
    small = LINES[:60] * 40
    for ending, whole in ((".gz", gzip.compress(small)), (".zst", zstandard.compress(small))):
        path = tmp_path / f"a.txt{ending}"
        for cut in range(1, len(whole)):
            path.write_bytes(whole[:cut])
            with pytest.raises(UserError, match="damaged or cut short"):
                read(path)


def test_undecodable_text_can_be_skipped_or_replaced(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"b\xffd"], type=pa.binary())
    column = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_bytes(b"b\xffd")
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": "b\\udfffd"}')
    for name, good in (("a.parquet", ["good"]), ("a.jsonl", ["good"]), ("a.txt", [])):
        left_out = LeftOut()
        file = local_file(tmp_path / name)
        assert [t for t, _ in read_documents(file, read_options(undecodable="skip"), left_out)] == good
        assert left_out.reasons == {"not UTF-8": 1}
        assert read(tmp_path / name, undecodable="replace") == [*good, "b\ufffdd"]
        with pytest.raises(UserError, match=f"{name}.* is not UTF-8"):
            read(tmp_path / name)
    with pytest.raises(UserError, match=r"'skp': expected strict, replace, skip\. Did you mean 'skip'"):
        read_options(undecodable="skp")


def test_sources_expand_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/2.py", "b/1.py", "a.txt", ".hidden", "b/.git/x", "__pycache__/c.pyc", "z.bin", "c.jsonl.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0" if name == "z.bin" else b"text")
    files, notes = expand([str(tmp_path)])
    names = [str(Path(file.name).relative_to(tmp_path)) for file in files]
    assert names == ["a.txt", "c.jsonl.gz", "b/1.py", "b/2.py"]
    assert notes == [f"{tmp_path}: 1 binary file left out"]
    assert [(file.kind, file.compression) for file in files[:2]] == [("text", None), ("jsonl", "gzip")]
    both, _ = expand([f"{tmp_path}/b/2.py", f"{tmp_path}/**/*.py", str(tmp_path)], exclude=["*.gz", "*/a.txt"])
    assert [Path(file.name).name for file in both] == ["2.py", "1.py"], "each file once, where it was first named"


def test_sources_that_name_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "z.bin").write_bytes(b"\0")
    with pytest.raises(UserError, match=r"nothing\.txt does not exist; expected a file, a folder, a glob"):
        expand([str(tmp_path / "nothing.txt")])
    with pytest.raises(UserError, match=r"\*\.py names no file to read"):
        expand([str(tmp_path / "*.py")])
    with pytest.raises(UserError, match=r"z\.bin looks binary"):
        expand([str(tmp_path / "z.bin")])
    with pytest.raises(UserError, match="names no file to read"):
        expand([str(tmp_path)])
    with pytest.raises(UserError, match="Check the path and --exclude"):
        expand([str(tmp_path / "z.bin")], exclude=["*.bin"])
    with pytest.raises(UserError, match="A source is an empty text"):
        expand([""])
    with pytest.raises(UserError, match=r"~nobody-of-this-name/a\.txt does not exist"):
        expand(["~nobody-of-this-name/a.txt"])
    with pytest.raises(UserError, match="No sources"):
        expand([])


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # who reads every file, but for what the kernel refuses
        (tmp_path / "a.txt").symlink_to("/proc/self/mem")
    else:
        (tmp_path / "a.txt").write_text("x")
        (tmp_path / "a.txt").chmod(0)
    with pytest.raises(UserError, match=r"a\.txt cannot be read.*permissions"):
        read(tmp_path / "a.txt")
