"""What lies about on disks: FIFOs, links to nowhere, other encodings, other shapes of JSON, and standard input."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from centime.data.sources import json_records, readers, source_file
from centime.data.sources.left_out import LeftOut, ReadOptions
from centime.data.sources.readers import read_documents, records
from centime.data.sources.signature import foreign
from centime.data.sources.specs import expand, local_file
from centime.errors import UserError

TEXTS = ["one", "zwei é", "three\nlines\n", ""]
RECORDS = [{"text": text, "id": number, "meta": {"a": [1, {}]}} for number, text in enumerate(TEXTS)]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
BOM = "\ufeff".encode()


def read(path: Path | str, left_out: LeftOut | None = None, **options: object) -> list[str]:
    [file], _ = expand([str(path)])
    return [text for text, _ in read_documents(file, ReadOptions(**options), left_out or LeftOut())]  # type: ignore[arg-type]


SHAPES: dict[str, bytes] = {
    "lines": LINES,
    "a mark first": BOM + LINES,
    "blank lines": b"\n\r\n" + LINES.replace(b"\n", b"\r\n\r\n"),
    "array": json.dumps(RECORDS).encode(),
    "array over lines": BOM + json.dumps(RECORDS, indent=2).encode() + b"\n",
    "objects over lines": "\n".join(json.dumps(record, indent=1) for record in RECORDS).encode(),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("ending", "compress"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_json_of_every_shape(tmp_path: Path, shape: str, ending: str, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"c4-train.00000.json{ending}"
    path.write_bytes(compress(SHAPES[shape]))
    assert read(path) == TEXTS
    assert [value for _, value, _ in records(local_file(path))] == RECORDS


@pytest.mark.parametrize("name", ["a.jsonl.bz2", "a.txt.xz"])
def test_every_cut_of_a_compressed_file_is_noticed(tmp_path: Path, name: str) -> None:
    whole = (bz2 if name.endswith("bz2") else lzma).compress(LINES)
    for cut in range(1, len(whole), 7):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"damaged or cut short|not JSON"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"version": 1, "data": []}', r"a\.json, line 1 has no 'text'; its keys are 'version', 'data'.*--field"),
        (b'{\n "version": 1\n}', r"a\.json has no 'text'; its keys are 'version'"),
        (b"[1, 2]", r"a\.json holds no JSON objects; expected one a line, or an array"),
        (b"a = 1", r"a\.json holds no JSON objects.*\.txt"),
        (b'[{"text": "a"}, 7]', r"a\.json, element 2 is a JSON int"),
        (b'[{"text": "a"} {"text": "b"}]', r"element 2: found '\{', expected ','"),
        (b'[{"text": "a"}', "does not end; the file may be cut short"),
        (b'[{"text": "a"}, {"te', r"a\.json, element 2 is not JSON"),
        (b'[{"text": "a"}] x', "something follows the end"),
        (b'{"messages": []}', r"\[sft\] data =.*"),
        (b'{"prompt": "a", "answer": "b"}', r"\[sft\] data ="),
        (b'{"text": "a", "text": "b"}', r"line 1: the key 'text' stands twice"),
        (b'{"text": "x", "m": ' + b"[" * 99999 + b"]" * 99999 + b"}", r"a\.json, line 1 is nested too deeply"),
    ],
)  # fmt: skip
def test_json_of_another_shape_is_a_sentence(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(raw)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.json")


def test_json_met_in_a_source_tree_is_text_unless_it_holds_documents(tmp_path: Path) -> None:
    package = json.dumps({"name": "x", "version": "1"}, indent=2)
    for name, raw in (("package.json", package), ("odd.json", "[1, // no JSON\n"), ("c4.json", LINES.decode())):
        (tmp_path / name).write_text(raw)
    files, notes = expand([str(tmp_path)])
    left_out = LeftOut()
    found = [text for file in files for text, _ in read_documents(file, ReadOptions(), left_out)]
    assert found == [*TEXTS, "[1, // no JSON\n", package]
    assert notes == []
    assert left_out.notes("text") == [
        "2 .json files met in folders: without documents under 'text' (--field), read as plain text."
    ]


@pytest.mark.parametrize(("key", "documents"), [("text", ["x" * 300]), ("other", None)])
def test_a_first_record_longer_than_what_is_looked_at_first_is_told_by_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, documents: list[str] | None
) -> None:
    for module in (source_file, readers):
        monkeypatch.setattr(module, "BLOCK", 100)
    raw = json.dumps([{key: "x" * 300}])
    (tmp_path / "a.json").write_text(raw)
    assert read(tmp_path) == (documents or [raw])
    (tmp_path / "a.json").write_text('{"text": "cut')  # within the first look: no record, so a text
    assert read(tmp_path) == ['{"text": "cut']


def test_long_integers_and_other_keys_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "n": ' + "9" * 5000 + ', "x": NaN}\n')
    assert read(tmp_path / "a.jsonl") == ["a"]


def test_what_is_no_file_in_a_folder_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("s")
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_text("x = 1")
    (folder / "nowhere.py").symlink_to("/nope")
    (folder / "loop.py").symlink_to("loop.py")
    (folder / "up").symlink_to("..")
    (folder / "nul.txt").symlink_to("/dev/null")
    os.mkfifo(folder / "fifo.txt")
    (folder / "utf16.txt").write_bytes("text".encode("utf-16"))
    (folder / "bare16.txt").write_bytes("text in Western letters".encode("utf-16-le"))
    (folder / "lfs.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (folder / "z.jsonl").write_bytes(b"\0\1")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s/socket")
        files, notes = expand(["s"])
    assert [file.name for file in files] == ["s/a.py"]
    assert notes == [
        "s: 1 FIFO, 1 Git LFS pointer file, 2 UTF-16 files, 1 binary file, 1 device, 2 links that lead nowhere, "
        "1 link to folders, 1 socket left out"
    ]
    with pytest.raises(UserError, match=r"names no file to read.*\(s/\*\.txt: 1 FIFO, 2 UTF-16 files, 1 device left"):
        expand(["s/*.txt"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("/nope"), r"cannot be opened \(No such file"),
        (lambda path: path.symlink_to(path), "links lead in a circle"),
        (lambda path: path.symlink_to("/dev/null"), "is a device; expected a file, a FIFO or '-'"),
        (lambda path: path.write_bytes("text".encode("utf-16")), r"is UTF-16 text.*iconv -f UTF-16 -t UTF-8"),
        (lambda path: path.write_bytes(gzip.compress(b"a")), r"looks binary \(gzip-compressed\).*the ending"),
        (lambda path: path.write_bytes(b"caf\xe9"), r"not UTF-8 text.*iconv -f LATIN1"),
        (lambda path: path.write_bytes(b"a" * 9000 + b"\0"), r"looks binary \(a NUL byte at offset 9,000\)"),
    ],
)  # fmt: skip
def test_named_singly_it_is_a_sentence(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "a.txt")
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"plain text " * 300_000, ["plain text " * 300_000]),
        (LINES, TEXTS),
        (gzip.compress(LINES, mtime=0), TEXTS),
        (bz2.compress(b"x = {}\n"), ["x = {}\n"]),
        (BOM + b"{}", ["{}"]),
        (json.dumps(RECORDS, indent=1).encode(), TEXTS),
        (b"", []),
    ],
)  # fmt: skip
def test_a_fifo_is_read_to_its_end(tmp_path: Path, raw: bytes, expected: list[str]) -> None:
    os.mkfifo(tmp_path / "f")
    writer = threading.Thread(target=(tmp_path / "f").write_bytes, args=(raw,))
    writer.start()
    assert read(tmp_path / "f") == expected
    writer.join()


def test_the_standard_input_is_a_stream_of_no_known_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").write_bytes(LINES)
    kept = os.dup(0)
    with (tmp_path / "in").open("rb") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        os.dup2(stream.fileno(), 0)
        try:
            file = local_file(Path("-"))
            assert (file.name, file.kind, file.size) == ("standard input", "stream", 0)
            assert read("-") == TEXTS
        finally:
            os.dup2(kept, 0)
            os.close(kept)


def test_western_text_in_utf16_is_told_from_bytes_with_many_zeros() -> None:
    """Nineteen in twenty of its characters are such as are written."""
    for text, what in (
        ("a" * 40, "UTF-16"),
        ("a\tb\r\n" * 8, "UTF-16"),
        ("a" * 19 + "\1", "binary"),
        ("\1" * 9, "binary"),
    ):
        assert [foreign(text.encode(code)) for code in ("utf-16-le", "utf-16-be")] == [what, what]
    assert foreign("ab".encode("utf-16-le") + b"c") == "UTF-16", "cut within a character"
    assert foreign(b"abc\0" * 9) == "binary", "a zero in fewer than every third byte"
    assert foreign("猫が".encode()) is foreign(b"") is None


def test_bad_lines_up_to_so_many_are_left_out(tmp_path: Path) -> None:
    bad = [b"{", b"7", b'{"t": 1}', b'{"text": 5}', b"\xff", b'{"text": "\\ud800"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([b'{"text": "a"}', *bad, b'{"text": "b"}']))
    left_out = LeftOut(6)
    assert read(tmp_path / "a.jsonl", left_out) == ["a", "b"]
    assert left_out.reasons == {"malformed lines": 6}
    assert "line 2 is not JSON" in left_out.notes("text")[0]
    for allowed in range(6):
        expected = rf"a\.jsonl, line {allowed + 2}\b.*" + (f"{allowed} were left out before it" if allowed else "")
        with pytest.raises(UserError, match=expected):
            read(tmp_path / "a.jsonl", LeftOut(allowed))


def test_a_line_too_long_to_hold_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "LONGEST", 1000)
    monkeypatch.setattr(source_file, "BLOCK", 100)
    lines = [b'{"text": "a"}', b'{"text": "' + b"x" * 5000 + b'"}', b'{"text": "b"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=r"a\.jsonl, line 2 is longer than"):
        read(tmp_path / "a.jsonl")
    assert read(tmp_path / "a.jsonl", LeftOut(1)) == ["a", "b"]
    (tmp_path / "a.json").write_bytes(b"[\n" + b",\n".join(lines) + b"]")
    with pytest.raises(UserError, match=r"a\.json, element 2 is not JSON, or longer than"):
        read(tmp_path / "a.json")
