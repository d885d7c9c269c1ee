"""A file of published runs: which cells are taken for numbers, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.plan.check.file import read_file

HEAD = "id,model,gpu,n_gpus,seq_len,global_batch_seqs,precision,tokens_per_s_per_gpu"


def fault(folder: Path, column: str, cell: str) -> str:
    row = dict(zip(HEAD.split(","), ["x", "deepseek-v3", "h800", "256", "4096", "4096", "bf16", "100"], strict=True))
    path = folder / "runs.csv"
    path.write_text(f"{HEAD}\n{','.join((row | {column: cell}).values())}\n")
    return read_file(path).faults[0]


@pytest.mark.parametrize("cell", ["nan", "inf", "-1", "0", "many"])
@pytest.mark.parametrize("column", ["n_gpus", "seq_len", "tokens_per_s_per_gpu"])
def test_what_is_no_number_above_zero(tmp_path: Path, column: str, cell: str) -> None:
    assert fault(tmp_path, column, cell) == f"line 2: {column} is {cell!r}, not a number above zero"


@pytest.mark.parametrize("column", ["n_gpus", "seq_len", "global_batch_seqs"])
def test_more_than_any_run_has(tmp_path: Path, column: str) -> None:
    assert fault(tmp_path, column, "1000000") == ""
    assert "more than any run has" in fault(tmp_path, column, "1e300")
