"""Parquet as others write it: every type for which pyarrow gives text, empty row groups, chats of nested messages."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from centime.data.pairs import PairLoader
from centime.data.sources import parquet_files
from centime.data.sources.left_out import LeftOut, ReadOptions
from centime.data.sources.readers import read_documents, records
from centime.data.sources.specs import local_file
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError

TEXTS = ["one", None, "zwei é", "", "one"]


def read(path: Path, left_out: LeftOut | None = None) -> list[str]:
    return [text for text, _ in read_documents(local_file(path), ReadOptions(), left_out or LeftOut())]


CODED = [pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), *CODED], ids=str)
def test_every_type_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(TEXTS).cast(kind) if pa.types.is_dictionary(kind) else pa.array(TEXTS, kind)
    pq.write_table(pa.table({"text": column, "n": range(5)}), tmp_path / "a.parquet", row_group_size=2)
    left_out = LeftOut()
    assert read(tmp_path / "a.parquet", left_out) == ["one", "zwei é", "", "one"]
    assert left_out.reasons == {"empty": 1}


def test_a_column_of_nothing_and_one_that_is_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.nulls(3)}), tmp_path / "null.parquet")
    assert read(tmp_path / "null.parquet") == []
    for column in ([b"bytes"], [1.5], [["a", "list"]], [{"a": "struct"}]):
        pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
        with pytest.raises(UserError, match=r"a\.parquet: the column 'text' holds .*; expected text"):
            read(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), tmp_path / "twice.parquet")
    with pytest.raises(UserError, match="has several columns called 'text'"):
        read(tmp_path / "twice.parquet")


def test_empty_row_groups_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "BATCH_BYTES", 1)  # a row at a time
    some, none = (pa.table({"text": pa.array(texts, pa.string())}) for texts in (["a", "b"], []))
    with pq.ParquetWriter(tmp_path / "a.parquet", some.schema) as writer:
        for group in (none, some, none, none, some):
            writer.write_table(group)
    assert read(tmp_path / "a.parquet") == ["a", "b"] * 2
    pq.write_table(none, tmp_path / "empty.parquet")
    assert read(tmp_path / "empty.parquet") == []


def test_chats_in_parquet_are_pairs_and_no_documents(tokenizer: Tokenizer, tmp_path: Path) -> None:
    turn = pa.struct([("role", pa.string()), ("content", pa.large_string())])
    chats = [[{"role": "user", "content": f"{n} + 1"}, {"role": "assistant", "content": f"{n + 1}"}] for n in range(5)]
    pq.write_table(pa.table({"messages": pa.array(chats, pa.list_(turn))}), tmp_path / "chats.parquet")
    assert [record["messages"] for _, record, _ in records(local_file(tmp_path / "chats.parquet"))] == chats
    assert PairLoader(tmp_path / "chats.parquet", tokenizer, 64).pairs == 5
    with pytest.raises(UserError, match=r"no 'text'; its columns are 'messages'\. Chats .* not prepared.*\[sft\]"):
        read(tmp_path / "chats.parquet")
