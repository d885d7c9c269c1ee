"""What a check of a file shows: its sums, groups, worst rows, repetitions, productions and reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plan.show.shown import figures, notes, one, rows

from centime.plan import verbs
from centime.plan.check.plan import Check, check_file
from centime.plan.check.report import WORST, _some
from centime.plan.show.sections import Section, Table

HEAD = "id,group,kind,model,gpu,n_gpus,precision,seq_len,global_batch_seqs,micro_batch,tp,pp,tokens_b,gpu_hours"
HEAD += ",tokens_per_s_per_gpu"
LLAMA = "benchmark-pretrain,Llama-3.1-8B,H100,8,bf16,8192,128,1,1,1,,"


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    lines = [f"r{i},mine,{LLAMA},{speed}" for i, speed in enumerate((9000, 9900, *range(5000, 16_000, 1000)))]
    lines += [f"s{i},theirs,{LLAMA.replace('128', '256')},9000" for i in range(2)]
    lines += [f"x{i},theirs,{LLAMA.replace('Llama-3.1-8B', 'Nobody-7B')},9000" for i in range(8)]
    lines += ["p1,made,production-pretrain,Llama-3.1-8B,H100,1024,bf16,8192,1024,1,1,1,15000,1460000,"]
    lines += ["p2,made,production-pretrain,Llama-3.1-8B,H100,1024,bf16,8192,1024,1,1,1,,1460000,"]
    path = tmp_path_factory.mktemp("check") / "runs.csv"
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return check_file(path)


@pytest.fixture(scope="module")
def shown(check: Check) -> list[Section]:
    return verbs.sections(check, "en")


@pytest.fixture(scope="module")
def told(check: Check) -> dict[str, Any]:
    return check.to_json()


def share(value: float, spec: str = ".1f") -> str:
    return f"{100 * value:{spec}} %"


def amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def test_the_head_and_the_groups(check: Check, shown: list[Section], told: dict[str, Any]) -> None:
    total = told["total"]
    assert (total["n"], total["answered"]) == (23, 15)
    assert verbs.title(check, "en") == "Training runs of runs.csv, predicted"
    assert figures(shown) == {
        "Rows answered": ("15 / 23", "of those that state a speed or a latency"),
        "Median error": (share(total["median_abs_error"]), f"90 % of rows within {share(total['p90_abs_error'])}"),
        "Bias": (share(total["bias"], "+.1f"), "median of predicted / actual - 1"),
        "80 % intervals cover": (
            share(total["coverage80"]), f"of rows, {share(total['median_width'])} to either side",
        ),
    }  # fmt: skip
    found = rows(shown, "By source")
    assert list(found) == ["mine", "theirs", "All"]  # the largest first
    for name, of in (*told["groups"].items(), ("All", total)):
        assert found[name] == [
            str(of["n"]), str(of["answered"]), share(of["median_abs_error"]), share(of["p90_abs_error"]),
            share(of["bias"], "+.1f"), share(of["coverage80"]), share(of["median_width"]),
        ]  # fmt: skip


def test_the_worst_rows_come_first(shown: list[Section], told: dict[str, Any]) -> None:
    answered = sorted((row for row in told["rows"] if row["error"] is not None), key=lambda row: -abs(row["error"]))
    table = one(shown, Table, "The rows furthest off")
    assert len(table.rows) == WORST
    for row, cells in zip(answered, table.rows, strict=False):
        assert cells == [
            row["id"], amount(row["predicted"]), f"{amount(row['low'])} – {amount(row['high'])}", amount(row["actual"]),
            "tokens/s/GPU", share(row["error"], "+.1f"),
        ]  # fmt: skip


def test_repetitions_and_the_nearest_row(shown: list[Section], told: dict[str, Any]) -> None:
    noise = told["noise_floor"]
    assert (noise["configurations"], noise["pairs"]) == (3, 78 + 1 + 28)
    (line,) = notes(shown, "Noise floor")
    assert line.startswith("3 configurations are repeated in the file")
    assert line.endswith(f"differ by {share(noise['median_abs_log_ratio'])} in the median.")
    found = rows(shown, "Against the nearest row of the file: median error")
    names = {
        "with_replicate": "the model ran on this chip in another row",
        "without_replicate": "alone with its model and chip",
        "cell_left_out": "every row, from other models or chips only",
    }
    assert found == {
        names[name]: [str(of["n"]), share(of["median_abs_error"]), share(of["planner_median_abs_error"])]
        for name, of in told["nearest_row"].items()
        if of["n"]
    }
    assert told["nearest_row"]["with_replicate"]["n"] == 15
    assert "alone with its model and chip" not in found


def test_productions(shown: list[Section], told: dict[str, Any]) -> None:
    known, unknown = told["production"]
    assert known["ratio"] == pytest.approx(1_460_000 / known["predicted_gpu_hours"])
    assert known["low"] < known["predicted_gpu_hours"] < known["high"]
    assert unknown["predicted_gpu_hours"] is None
    assert rows(shown, "Production runs") == {
        "p1 Llama-3.1-8B": ["H100", amount(known["predicted_gpu_hours"]), "1,460,000", f"{known['ratio']:.2f}"],
        "p2 Llama-3.1-8B": ["H100", "–", "1,460,000", "tokens_b is not stated"],
    }


def test_reasons_name_their_rows(shown: list[Section], told: dict[str, Any]) -> None:
    (line,) = notes(shown, "Not answered")
    assert line.startswith("x0, x1, x2, x3, x4, x5 (+2): ")
    assert line.endswith(told["rows"][-1]["reason"])
    assert _some(["a"] * 6) == ", ".join(["a"] * 6)


def test_a_file_of_which_nothing_is_answered_shows_dashes(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(f"{HEAD}\nx,theirs,{LLAMA.replace('Llama-3.1-8B', 'Nobody-7B')},9000\n")
    shown = verbs.sections(check_file(path), "en")
    assert figures(shown)["Median error"][0] == "–"
    titles = {getattr(section, "title", "") for section in shown}
    assert not {"The rows furthest off", "Noise floor", "Production runs"} & titles
    assert "Not answered" in titles
