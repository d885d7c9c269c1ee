"""What a predictor may see of a row, and how far apart a file's own repetitions lie."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from centime.plan.check.file import SERVING, sealed
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
