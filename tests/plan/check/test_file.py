"""What a predictor may see of a row, and how far apart a file's own repetitions lie."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from centime.errors import UserError
from centime.plan.check.file import SCHEMAS, SERVING, TRAINING, read_file, sealed
from centime.plan.check.plan import check_file

ROW = dict.fromkeys(SERVING.columns, "") | {"id": "a", "model": "m", "gpu": "h100", "tok_s_per_user": "40"}


@pytest.mark.parametrize(
    ("measured", "kept"),
    [({}, "40"), ({"concurrency_or_batch": "16"}, ""), ({"tpot_ms": "25"}, ""), ({"ttft_ms": "300"}, "")],
)
def test_a_speed_of_a_user_is_an_input_where_it_alone_says_what_was_asked(measured: dict[str, str], kept: str) -> None:
    seen = sealed(SERVING, ROW | measured)
    assert seen["tok_s_per_user"] == kept
    assert not any(seen[column] not in ("", "1") for column in SERVING.targets)


def test_rows_alike_say_how_noisy_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    head = "id,model,gpu,n_gpus,precision,seq_len,global_batch_seqs,tp,pp,tokens_per_s_per_gpu"
    rows = [f"{at},Llama-3.1-8B,H100,8,bf16,8192,128,1,1,{speed}" for at, speed in enumerate((9000, 9900, 12_000))]
    rows[2] = rows[2].replace(",128,", ",256,")
    path.write_text("\n".join([head, *rows]) + "\n")
    noise = check_file(path).noise
    assert (noise["configurations"], noise["pairs"]) == (1, 1)
    assert noise["median_abs_log_ratio"] == pytest.approx(math.log(1.1))


HEAD = {kind: [*schema.needed, next(iter(schema.targets))] for kind, schema in SCHEMAS.items()}
CELLS = {"train": "a,llama,H100,8,4096,64,bf16,900", "serve": "a,llama,H100,8,bf16,1024,128,16,900"}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_columns_say_the_kind_and_each_that_is_needed_is_missed(tmp_path: Path, kind: str) -> None:
    path, head = tmp_path / "runs.csv", HEAD[kind]
    path.write_text(f"{','.join(head)}\n\n{CELLS[kind]}\n , \n")
    found = read_file(path)
    assert (found.schema, found.faults) == (SCHEMAS[kind], [""])
    assert found.rows == [
        dict.fromkeys(found.schema.columns, "") | dict(zip(head, CELLS[kind].split(","), strict=True))
    ]
    for name in found.schema.needed:
        path.write_text(",".join(one for one in head if one != name) + "\n1\n")
        with pytest.raises(UserError, match=f"column '{name}' is missing; a file of kind {kind} needs it"):
            read_file(path, kind)
    path.write_text(",".join(found.schema.needed) + "\n1\n")
    with pytest.raises(UserError, match="there is no column to predict"):
        read_file(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("id;model;gpu\n1;2;3\n", "are not parted by commas"),
        ("id,gpu,id\n", "column 'id' stands there twice"),
        (",".join(HEAD["train"]) + "\n", "has a head and no rows"),
        (
            ",".join(HEAD["train"]).replace("gpu,", "gpus,") + "\n1\n",
            "'gpu' is missing; .* Is it the one called 'gpus'",
        ),
        (",".join(HEAD["train"]) + ",micro_batchs\n1\n", "'micro_batchs' is not known. Did you mean 'micro_batch'"),
    ],
)
def test_a_head_that_is_none_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_file(path)
    with pytest.raises(UserError, match="--kind 'fly' is not known"):
        read_file(path, "fly")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"seq_len": "100000000", "n_gpus": "10000000"}, ""),
        ({"id": " "}, "line 2: id is empty"),
        ({"seq_len": "0"}, "line 2: seq_len is '0', not a number above zero"),
        ({"tokens_per_s_per_gpu": "inf"}, "line 2: tokens_per_s_per_gpu is 'inf', not a number above zero"),
        ({"seq_len": "100000001"}, "more than any run has; expected at most 100,000,000"),
        ({"n_gpus": "10000001"}, "more than any run has; expected at most 10,000,000"),
        ({"precision": "bf16,more"}, "line 2 has 9 fields where the head names 8 columns"),
    ],
)
def test_a_mangled_cell_is_its_rows_fault(tmp_path: Path, change: dict[str, str], fault: str) -> None:
    path = tmp_path / "runs.csv"
    cells = dict(zip(HEAD["train"], CELLS["train"].split(","), strict=True)) | change
    path.write_text(f"{','.join(HEAD['train'])}\n{','.join(cells.values())}\n")
    (found,) = read_file(path, TRAINING.kind).faults
    assert re.search(re.escape(fault), found) if fault else found == ""
