"""Rows of published serving speeds: read as their sources write them, predicted from conditions alone."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import median, quantiles

import pytest

from centime.plan.check.file import SERVING, sealed, target_of
from centime.plan.check.serving import open_point, predict_row
from centime.plan.check.serving_rows import RowLayout, mlperf_scenario, parse_layout, precision, software, stated_batch
from centime.plan.serving.speeds import year
from centime.plan.serving.units import Unit

ARGONNE = {
    "id": "A",
    "group": "Argonne LLM-Inference-Bench",
    "model": "meta-llama/Meta-Llama-3-8B",
    "precision": "fp16/bf16",
    "gpu": "Nvidia H100 GPU",
    "n_gpus": "1",
    "engine": "vLLM",
    "config": "TP1",
    "phase": "batch",
    "isl": "1024",
    "osl": "1024",
    "concurrency_or_batch": "16",
    "total_tok_s_per_gpu": "2972.2",
    "date": "2024",
}
ANCHOR = ARGONNE | {
    "model": "deepseek-ai/DeepSeek-V3",
    "precision": "fp8",
    "gpu": "h200_sxm",
    "n_gpus": "8",
    "engine": "sglang 0.5.9",
    "config": "agg TP8 PP1 attnDP1 moeTP8 EP1 bs16",
    "phase": "agg",
    "total_tok_s_per_gpu": "",
    "tpot_ms": "16.63",
    "date": "2026-03-25",
}
MLPERF = ARGONNE | {
    "model": "llama2-70b-99",
    "precision": "fp8",
    "gpu": "NVIDIA H200-SXM-141GB",
    "n_gpus": "8",
    "engine": "TensorRT 10.11, CUDA 12.9",
    "config": "Nebius H200 (8x H200-SXM-141GB, TensorRT)",
    "phase": "Offline",
    "isl": "",
    "osl": "",
    "concurrency_or_batch": "",
    "total_tok_s_per_gpu": "",
    "output_tok_s_per_gpu": "4287.7",
    "date": "2025-09-09",
}


@pytest.fixture(scope="module")
def runs(shared: Path) -> list[dict[str, str]]:
    """All rows of the published serving runs."""
    with (shared / "data/plan/serving_runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", [ARGONNE, ANCHOR, MLPERF])
def test_each_kind_of_row_is_answered(row: dict[str, str]) -> None:
    found = predict_row(row)
    assert found.error is not None
    assert abs(found.error) < 0.4
    assert found.low is not None
    assert found.low < found.predicted < found.high  # type: ignore[operator]


def test_what_a_row_measured_is_no_input(runs: list[dict[str, str]]) -> None:
    for row in runs:
        target = target_of(SERVING, row)
        if target is None:
            continue
        results = [name for name in SERVING.outcomes if sealed(SERVING, row)[name] == ""]
        blank = {**row, **dict.fromkeys((*SERVING.targets, *results, "metric_note"), ""), target: "1"}
        assert predict_row(blank).predicted == predict_row(row).predicted, row["id"]


def test_published_rows_in_the_fit(runs: list[dict[str, str]]) -> None:
    """Points of a frontier at a speed for users apart: their layouts are not told."""
    asked = [row for row in runs if target_of(SERVING, row)]
    found = [predict_row(row) for row in asked]
    pairs = zip(asked, found, strict=True)
    errors = [abs(p.error) for row, p in pairs if p.error is not None and not open_point(sealed(SERVING, row))]
    assert sum(p.answered for p in found) / len(found) >= 0.95
    assert len(errors) >= 180
    assert median(errors) <= 0.092
    assert quantiles(errors, n=10)[-1] <= 0.40
    covered = [p.covered for p in found if p.answered]
    assert 0.75 <= sum(covered) / len(covered) <= 0.88
    assert all(p.reason for p in found if not p.answered)


@pytest.mark.parametrize(
    ("name", "targets", "most", "most_of_nine"),
    [
        ("serving_silicon", ("tpot_ms",), 0.13, 0.36),
        ("serving_silicon", ("ttft_ms",), 0.35, 1.05),
        ("serving_new", ("output_tok_s_per_gpu",), 0.20, 0.65),
    ],
)
def test_other_files_in_the_fit(
    shared: Path, name: str, targets: tuple[str, ...], most: float, most_of_nine: float
) -> None:
    with (shared / f"data/plan/{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    asked = [{**row, **dict.fromkeys(set(SERVING.targets) - set(targets), "")} for row in rows]
    found = [predict_row(row) for row in asked[:: max(1, len(asked) // 300)] if target_of(SERVING, row)]
    errors = [abs(one.error) for one in found if one.error is not None]
    assert len(errors) / len(found) >= 0.95
    assert median(errors) <= most
    assert quantiles(errors, n=10)[-1] <= most_of_nine


def test_other_scenarios_and_limits() -> None:
    offline, server, interactive = (
        predict_row({**MLPERF, "phase": phase}).predicted or 0 for phase in ("Offline", "Server", "Interactive")
    )
    assert interactive < server <= offline * 1.05
    assert "no limits here" in predict_row({**MLPERF, "model": "mixtral-8x7b", "phase": "Interactive"}).reason


def test_of_a_scenario_only_layouts_that_hold_the_model_are_in_question() -> None:
    """A model of 70 billion in two bytes fits two chips of 80 GB and not one."""
    found = [
        predict_row(MLPERF | {"gpu": "H100 SXM 80GB", "precision": "bf16", "n_gpus": str(gpus), "phase": phase})
        for phase in ("Offline", "Server")
        for gpus in (1, 4)
    ]
    for one, four in (found[:2], found[2:]):
        assert one.predicted is None
        assert "no layout of these chips holds the model" in one.reason
        assert four.predicted is not None


WIDE = ARGONNE | {
    "model": "DeepSeek-V3",
    "precision": "fp8",
    "gpu": "H100 SXM 80GB",
    "n_gpus": "72",
    "engine": "SGLang",
    "config": "EP72, 9 nodes",
    "phase": "decode",
    "isl": "2000",
    "osl": "100",
    "concurrency_or_batch": "",
    "total_tok_s_per_gpu": "",
    "output_tok_s_per_gpu": "1000",
    "date": "2025-05",
}


def test_a_stated_batch_of_decoding_is_kept_to() -> None:
    full, few, fewer = (
        predict_row({**WIDE, "concurrency_or_batch": batch}).predicted or 0 for batch in ("", "64/device", "8 per GPU")
    )
    assert fewer < few < full
    layout = parse_layout("TP8", 8, True)
    assert layout is not None
    assert stated_batch("16", layout) == 16
    of_each_group = parse_layout("agg TP1 PP1 attnDP8 moeTP1 EP8 bs137", 8, True)
    assert of_each_group is not None
    assert stated_batch("16", of_each_group) == 137 * 8
    assert stated_batch("256", RowLayout(Unit(dp=72, ep=72))) is None  # of a rank, or of all: not said


def test_one_phase_without_a_layout_has_all_chips_of_the_row() -> None:
    stated, whole = (predict_row({**WIDE, "config": config}).predicted for config in ("EP72", "72 GPUs"))
    assert stated == whole
    assert predict_row({**WIDE, "config": "best frontier"}).predicted is None


def test_two_kinds_of_chip_share_a_figure() -> None:
    mixed = {**MLPERF, "gpu": "AMD Instinct MI300X 192GB HBM3 (x32), AMD Instinct MI325X 256GB HBM3e (x16)"}
    each = [predict_row({**MLPERF, "gpu": gpu}).predicted or 0 for gpu in ("MI300X", "MI325X")]
    found = predict_row({**mixed, "n_gpus": "48"}).predicted or 0
    assert min(each) * 0.9 <= found <= max(each) * 1.1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "Lama-9"}, "Lama-9"),
        ({"gpu": ""}, "gpu is blank"),
        ({"config": "best frontier", "phase": "8k/1k"}, "operating point"),
        ({"concurrency_or_batch": ""}, "concurrency_or_batch"),
        ({"precision": "fp3"}, "bf16"),
    ],
)
def test_a_row_that_cannot_be_predicted_says_why(changes: dict[str, str], says: str) -> None:
    found = predict_row({**ARGONNE, **changes})
    if changes.get("precision"):
        assert found.answered  # an unknown word is read as no statement: bf16
    else:
        assert found.predicted is None
        assert says in found.reason


def test_a_row_without_a_figure_is_not_counted() -> None:
    assert predict_row({**ARGONNE, "total_tok_s_per_gpu": ""}).target is None


def test_layouts() -> None:
    found = parse_layout("disagg P:1x(TP1,DP4,EP4) D:2x(TP1,DP8,EP8,bs137)", 20, True)
    assert found is not None
    assert (found.unit, found.units, found.batch_per_group) == (Unit(dp=8, ep=8), 2, 137)
    assert found.prefill == Unit(dp=4, ep=4)
    together = parse_layout("agg TP8 PP1 attnDP1 moeTP1 EP8 bs16", 8, True)
    assert together is not None
    assert together.unit == Unit(tp=8, ep=8)
    wide = parse_layout("decode unit EP144/DP144 (18 nodes), 32 redundant experts", 144, True)
    assert wide is not None
    assert (wide.unit.dp, wide.unit.redundant, wide.unit.overlapped) == (144, 32, True)
    assert found.prefill_units == 1
    for config, unit in (
        ("agg TP64 PP1 attnDP1 moeTP8 EP8 bs4", Unit(tp=8, ep=8)),
        ("agg TP1 PP1 attnDP64 moeTP8 EP8 bs4", Unit(dp=8, ep=8)),
    ):
        counted = parse_layout(config, 64, True)
        assert counted is not None
        assert (counted.unit, counted.units) == (unit, 1)
    doubted, told = (
        parse_layout("agg TP4 PP1 attnDP4 moeTP1 EP16 bs4", 16, True, 72, doubtful) for doubtful in (True, False)
    )
    assert doubted is not None
    assert told is not None
    assert (doubted.unit, told.unit) == (Unit(dp=4, ep=4), Unit(tp=4, dp=4, ep=16, overlapped=False))
    assert parse_layout("best frontier at that interactivity", 8, True) is None


@pytest.mark.parametrize(
    ("phase", "concurrency"), [("agg offline, maximum load", ""), ("agg", "64"), ("mixed", ""), ("", "")]
)
def test_units_of_both_phases_work_through_their_prompts(phase: str, concurrency: str) -> None:
    """Case 03: 32 prompt tokens a token of answer cannot be free, whatever a row calls its phase."""
    row = WIDE | {"model": "Llama-3.3-70B", "gpu": "H200 SXM", "n_gpus": "2", "config": "TP2", "isl": "32768"}
    row |= {"osl": "1024", "phase": phase, "concurrency_or_batch": concurrency}
    found = predict_row(row).predicted or 0
    decoding_alone = predict_row({**row, "phase": "decode"}).predicted or 0
    assert 60 < found < 180
    assert found * 33 * 2 * 70e9 < 1979e12
    assert decoding_alone > 2 * found


def test_times_to_first_token_follow_from_the_load() -> None:
    loop = ANCHOR | {"tpot_ms": "", "ttft_ms": "286"}
    few, more = (predict_row({**loop, "concurrency_or_batch": n}).predicted or 0 for n in ("4", "128"))
    assert 50 < few < more
    assert "needs concurrency_or_batch" in predict_row({**loop, "concurrency_or_batch": "", "config": "TP8"}).reason
    apart = loop | {"phase": "disagg", "config": "disagg P:1x(TP8,DP1,EP8) D:1x(TP8,DP1,EP8,bs16)", "n_gpus": "16"}
    assert (predict_row(apart).predicted or 0) > 20
    for wide, answered in ((16, True), (17, False), (72, False)):
        found = predict_row({**loop, "config": f"agg TP{wide} PP1 attnDP1 moeTP{wide} EP1", "n_gpus": str(wide)})
        assert ("which nobody serves with" not in found.reason) == found.answered == answered


def test_engines_dates_and_formats() -> None:
    assert software({"engine": "trtllm 1.0.0rc3", "date": ""}).year == pytest.approx(2025.53, abs=0.05)
    assert software({"engine": "vllm 0.19.0", "date": "2026-04-22"}).year == year("2026-04-22")
    assert precision({"precision": "int8"}, True, False).name == "int8"
    assert software(ANCHOR).engine == "sglang"
    assert software(MLPERF).engine == "trt"
    assert year("2025-09-09") == pytest.approx(2025.69, abs=0.01)
    assert year("2024") == 2024.5
    assert precision({"precision": "fp8 weights, 6-bit KV"}, True, False).kv_bytes == 0.75
    assert precision({"precision": "fp8 GEMM+dispatch, bf16 MLA+combine"}, True, True).kv_bytes == 2.0


@pytest.mark.parametrize(
    ("model", "server", "interactive"),
    [
        ("llama2-70b-99.9", (2000, 200), (450, 40)),
        ("llama3.1-8b-datacenter", (2000, 100), (500, 30)),
        ("llama3.1-405b", (6000, 175), (4500, 80)),
        ("mixtral-8x7b", (2000, 200), None),
        ("deepseek-r1", (2000, 80), None),
    ],
)
def test_mlperfs_limits_are_those_of_its_table_of_constraints(
    model: str, server: tuple[int, int], interactive: tuple[int, int] | None
) -> None:
    """mlcommons/inference README, version 5.1, in milliseconds: first token, each token, of 99 in 100 requests."""
    found = mlperf_scenario(model)
    assert found is not None
    told = {name: tuple(round(1e3 * seconds) for seconds in limits) for name, limits in found.limits.items()}
    assert told == {"server": server} | ({"interactive": interactive} if interactive else {})
    assert mlperf_scenario("gpt-j") is None
