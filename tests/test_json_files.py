"""JSON from elsewhere: whatever the bytes are, a value that is whole or one sentence that names the file."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.errors import UserError
from centime.json_files import MAX_BYTES, MAX_DEPTH, brief, parse_json, read_json, read_object, whole_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.booleans())
def test_what_json_writes_is_read(value: Any, mark: bool, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert parse_json((b"\xef\xbb\xbf" if mark else b"") + text, "f") == value


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0159eE+-.\\ud8\0 nulltrueNaN', max_size=30).map(str.encode))
def test_any_bytes_are_a_value_or_a_sentence(content: bytes) -> None:
    try:
        value = parse_json(content, "a.json")
    except UserError as error:
        said = str(error)
    else:
        said = f"a.json {json.dumps(value, allow_nan=False)}."
    assert said.startswith("a.json ")
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 300, "nothing but zero bytes"),
        (b'{"a": 1', "cannot be read as JSON .*line 1, column 8"),
        (b'{"a": NaN}', "holds NaN, which is no number of JSON, in a:"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e999}', "holds a number that is too large, in a:"),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds a number that is too large, in a:"),
        (b"[" * 10_000 + b"]" * 10_000, "nested too deeply, more than 100"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"b": [[]], "a": ' + b"[" * 9000 + b"]" * 9000 + b', "c": 1}', "nested too deeply, .*, in a:"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
        ('{"a": 1}'.encode("utf-16"), "is in UTF-16; expected UTF-8"),
        ('{"ä": 1}'.encode("latin-1"), r"not in UTF-8 \(byte 2"),
        (b'{"a": 1, "b": 2, "a": 3}', "gives 'a' twice with two values, 1 and 3"),
        (b'{"a": "\\ud800"}', "half of a character .*, in a:"),
        (b'{"a": [{"b": NaN}]}', r"in a\.0\.b:"),
        (b'{"a": {"\\udc00": 1}}', "half of a character .*, in a:"),
        (b"NaN", "holds NaN, which is no number of JSON:"),
        (b"[1, 2]", None),
    ],
)
def test_what_is_wrong_is_said(content: bytes, says: str | None, tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    file.write_bytes(content)
    if says is None:
        assert read_json(file) == [1, 2]
        with pytest.raises(UserError, match=r"some\.json holds a list; expected a JSON object"):
            read_object(file)
        return
    with pytest.raises(UserError, match=rf"some\.json {says}|some\.json is {says}|{says}") as found:
        read_object(file)
    assert str(found.value).startswith(str(file))


def test_the_same_value_twice_is_read() -> None:
    assert parse_json('{"a": [1], "a": [1]}', "f") == {"a": [1]}
    depth = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(depth, "f")) == depth


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", MAX_BYTES + 1)  # sparse: it takes no room
    for name, says in (("pipe", "a pipe or a device"), (".", "is a folder"), ("absent", "is not there")):
        with pytest.raises(UserError, match=says):
            read_json(tmp_path / name)
    with pytest.raises(UserError, match="268,435,457 bytes"):
        read_json(tmp_path / "huge")


def test_a_file_of_the_most_bytes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centime.json_files.MAX_BYTES", 8)
    (tmp_path / "a.json").write_bytes(b"[123456]")
    assert read_json(tmp_path / "a.json") == [123456]


def test_infinite_numbers_are_read_where_they_may_stand(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": -Infinity}')
    assert read_object(tmp_path / "a.json", infinite=True) == {"a": -math.inf}


def test_lines_that_are_whole_objects_are_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a": 1}\n[2]\n' + b"[" * 100_000 + b'\n{"b": "\xff"}\n{"c": ')
    assert [*whole_lines(tmp_path / "log")] == [{"a": 1}, {"b": "\ufffd"}]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x" * 58, '"' + "x" * 58 + '"'),
        ("x" * 59, '"' + "x" * 56 + "..."),
        ([1] * 8, "[1, 1, 1, 1, 1, 1, 1, 1]"),
        ([1] * 9, "a list of 9"),
        (dict.fromkeys("abcdefghi"), "an object of 9"),
        ("é", '"é"'),
        (True, "true"),
    ],
)
def test_a_value_in_a_sentence_is_whole_or_cut(value: Any, said: str) -> None:
    assert brief(value) == said


@given(VALUES)
def test_a_value_in_a_sentence_is_short(value: Any) -> None:
    assert len(brief(value)) <= 60
    assert not (isinstance(value, float) and math.isnan(value))
