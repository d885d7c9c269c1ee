"""Predictions of published runs: what they may look at, in whose convention, how near they come, what they refuse."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scripts.fit_samples import seconds_of

from centime.catalogue.chips import chip
from centime.errors import UserError
from centime.plan.check.file import TRAINING
from centime.plan.check.published_run import read_run
from centime.plan.check.training import interval, predict_row, times_of, value_of
from centime.plan.layouts.usual import fastest_usual
from centime.plan.step.efficiency import TrainingSoftware, fitted, rates
from centime.plan.step.intervals import errors, model_family

FITTED = ("training_runs.csv", "training_new.csv")
RESULTS = ("mem_gib", "gpu_hours", "wall_days", "cost_usd", "notes")
ROW = {
    "id": "x", "group": "Megatron-Bridge perf", "kind": "benchmark-pretrain", "model": "DeepSeekV3",
    "gpu": "GB300 NVL72", "n_gpus": "256", "seq_len": "4096", "global_batch_seqs": "4096", "micro_batch": "1",
    "tp": "1", "pp": "2", "vp": "8", "ep": "32", "cp": "1", "precision": "MXFP8", "tokens_per_s_per_gpu": "6288",
    "software": "NeMo 26.08", "software_date": "2026-08",
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, str]]:
    path = shared / "data/plan/training_runs.csv"
    if not path.exists():
        pytest.skip("the published runs are not on this machine")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def fitting(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fit_planner", root / "scripts/fit_planner.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fit_planner"] = module
    sys.path.insert(0, str(root / "scripts"))
    spec.loader.exec_module(module)
    sys.path.remove(str(root / "scripts"))
    return module


def test_results_are_never_inputs(rows: list[dict[str, str]]) -> None:
    for row in rows:
        whole = predict_row(row)
        if whole.target is None:
            continue
        bare = {**row, **dict.fromkeys(RESULTS, ""), **{t: "1" if t == whole.target else "" for t in TRAINING.targets}}
        blind = predict_row(bare)
        assert (blind.predicted, blind.low) == (whole.predicted, whole.low)


def test_accuracy_on_published_runs(rows: list[dict[str, str]]) -> None:
    """Rows with a layout and a measured speed: median error 7 %, nine of ten within 20 %, bias 3 %, 95 % answered."""
    kinds = ("benchmark-pretrain", "benchmark-sft", "benchmark-lora", "measured-step")
    asked = [row for row in rows if row["kind"] in kinds and (row["tp"] or row["pp"] or row["fsdp_zero"])]
    found = [predict_row(row) for row in asked]
    answered = [p for p in found if p.error is not None]
    off = sorted(abs(p.error) for p in answered if p.error is not None)
    signed = sorted(p.error for p in answered if p.error is not None)
    assert len(found) > 300
    assert len(answered) >= 0.95 * len(found)
    assert off[len(off) // 2] <= 0.07
    assert off[int(0.9 * len(off))] <= 0.20
    assert abs(signed[len(signed) // 2]) <= 0.03
    assert sum(p.covered for p in answered) >= 0.8 * len(answered)
    widths = sorted((p.high - p.low) / (2 * p.predicted) for p in answered if p.high and p.low and p.predicted)
    assert widths[len(widths) // 2] <= 0.25


@pytest.fixture(scope="module")
def samples(fitting: ModuleType, shared: Path) -> list[Any]:
    return [sample for name in FITTED for sample in fitting.read_samples(shared / "data/plan" / name)]


@pytest.mark.long
def test_cells_left_out(fitting: ModuleType, samples: list[Any]) -> None:
    """Whole (model, chip) cells out of the fit: median 10 %, 90 % within 25 %; the intervals go by that."""
    found = fitting.left_out(fitting.Fit(samples, near=fitted()), lambda sample: sample.cell)
    summary = fitting.summary(found)
    assert summary["median_abs_error"] <= 0.10
    assert summary["p90_abs_error"] <= 0.25
    off = sorted(abs(np.array(errors().errors["cell"]) - found))
    assert off[int(0.9 * len(off))] < 0.02


def test_deepseeks_step_from_a_fit_without_it(fitting: ModuleType, samples: list[Any]) -> None:
    """Without DeepSeek's own rows its step stays within 15 %."""
    theirs = [sample.row["group"] == "DeepSeek" for sample in samples]
    constants = fitting.Fit(samples, near=fitted()).without(theirs)
    for sample in itertools.compress(samples, theirs):
        assert fitting.times_of(sample.run, constants).total == pytest.approx(sample.seconds, rel=0.15)


def test_the_fit_is_of_the_shipped_constants(fitting: ModuleType, samples: list[Any]) -> None:
    assert len(samples) == len(errors().points)
    misses = fitting.misses(samples, fitted())[: len(samples)]
    assert fitting.summary(misses)["median_abs_error"] <= 0.07


def test_shares_of_a_peak_are_shares() -> None:
    constants = fitted()
    assert 0 < constants.attention_ampere < 1
    assert 0 < constants.attention_blackwell < 1
    assert 0 < constants.memory < 1
    assert 0 < constants.scaleup < 1
    assert 0 < constants.scaleout < 1
    software = TrainingSoftware(2025.5)
    for name in ("A100 SXM 80GB", "H100 SXM 80GB", "GB200 NVL72", "B200 SXM 180GB"):
        device = chip(name)
        best = 1e12 * (device.measured_max_bf16_tflops or 0.0)
        assert rates(device, "bf16", software, constants).gemm < 1.05 * best  # of the best measured product


def test_conventions() -> None:
    run = read_run(ROW)
    causal = value_of(ROW, run, "tflops_per_gpu", 10.0) / value_of(ROW, run, "tokens_per_s_per_gpu", 10.0)
    assert causal == pytest.approx(0.2600, rel=0.005)  # NVIDIA counts 260.0 GFLOP a token with MTP
    mpt = {**ROW, "group": "MosaicML llm-foundry MPT", "precision": "amp_fp8", "gpu": "H100 SXM 80GB"}
    against_fp8 = value_of(mpt, read_run(mpt), "mfu_pct", 10.0)
    assert value_of({**mpt, "group": ""}, read_run(mpt), "mfu_pct", 10.0) == pytest.approx(2 * against_fp8, rel=0.15)
    for target in TRAINING.targets:
        assert seconds_of(ROW, run, target, value_of(ROW, run, target, 12.5)) == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model": "NoSuchModel-7B"}, "model"),
        ({"model": ""}, "model is blank"),
        ({"gpu": "Z9000"}, "chip"),
        ({"gpu": ""}, "gpu is blank"),
        ({"tp": "3"}, "n_gpus is 256"),
        ({"pp": "two"}, "pp is 'two'"),
        ({"seq_len": "-4"}, "seq_len is -4"),
        ({"tokens_per_s_per_gpu": ""}, "no target is stated"),
        ({"tokens_per_s_per_gpu": "fast"}, "not a number"),
        ({"vp": "184467"}, "pp x vp is 2 x 184467"),
    ],
)
def test_rows_that_cannot_be_predicted_say_why(change: dict[str, str], word: str) -> None:
    found = predict_row({**ROW, **change})
    assert found.predicted is None
    assert word in found.reason


def test_blank_columns_are_filled_and_said() -> None:
    run = read_run({**ROW, "micro_batch": "", "global_batch_seqs": "", "software_date": "", "precision": ""})
    said = " ".join(run.assumed)
    for word in ("micro_batch", "global batch", "software", "precision", "recompute"):
        assert word in said
    with pytest.raises(UserError, match="seq_len"):
        read_run({**ROW, "seq_len": "long"})


def test_what_the_fit_has_not_seen_is_less_sure() -> None:
    known = predict_row({**ROW, "gpu": "H100 SXM 80GB", "pp": "16", "vp": "1", "precision": "fp8"})
    unknown = predict_row({**ROW, "gpu": "MI300X", "pp": "16", "vp": "1", "precision": "fp8"})

    def width(p: object) -> float:
        return (p.high - p.low) / p.predicted  # type: ignore[attr-defined,no-any-return]

    assert width(unknown) > 1.5 * width(known)


def test_families() -> None:
    from centime.catalogue.models import architecture

    assert model_family(architecture("meta-llama/Meta-Llama-3.1-8B")) == "llama"
    assert model_family(architecture("Nemotron_3_Nano")) == "nemotron"
    assert model_family(architecture("DeepSeek-V3")) == "deepseek"


def test_the_interval_is_that_of_the_steps_seconds() -> None:
    run = read_run(ROW)
    times = times_of(run)
    fast, slow = interval(run, times)
    found = predict_row(ROW)
    assert fast < 1 < slow
    assert found.predicted == value_of(ROW, run, "tokens_per_s_per_gpu", times.total)
    assert (found.low, found.high) == pytest.approx((found.predicted / slow, found.predicted / fast))


@pytest.mark.parametrize(
    ("text", "zero"), [("full_shard", 3), ("hybrid_shard", 3), ("shard_grad_op", 1), ("zero2", 2), ("ZeRO-1", 1)]
)
def test_shards_as_sources_write_them(text: str, zero: int) -> None:
    """FSDP's full_shard is what DeepSpeed calls ZeRO-3."""
    dense = {"model": "Llama-3.1-8B", "gpu": "H100", "n_gpus": "8", "pp": "1", "vp": "", "ep": "1", "precision": "bf16"}
    assert read_run(ROW | dense | {"fsdp_zero": text}).layout.zero == zero


def test_a_run_of_production_had_its_makers_layout() -> None:
    """The DeepSeek-V3 report, section 3.2: 16-way PP, 64-way EP."""
    own = dict.fromkeys(("tp", "pp", "vp", "ep", "cp", "micro_batch", "global_batch_seqs"), "")
    row = ROW | own | {"model": "DeepSeek-V3", "gpu": "H800", "n_gpus": "2048", "precision": "fp8"}
    run = read_run(row | {"kind": "production-pretrain"})
    assert (run.layout.pp, run.layout.ep, run.job.global_batch) == (16, 64, 15_360)
    assert read_run(row).job.global_batch != 15_360


def test_a_run_without_a_layout_has_the_fastest_usual_one_and_where_none_fits_one_that_shards() -> None:
    row = {"model": "Llama-3.1-70B", "gpu": "H100 SXM", "n_gpus": "64", "global_batch_seqs": "128", "seq_len": "8192"}
    run = read_run(row)
    found = fastest_usual(run.job, 64, lambda _: 128, 128)
    assert found is not None
    degrees = ("gpus", "tp", "pp", "vp", "ep", "zero")
    assert [getattr(run.layout, one) for one in degrees] == [getattr(found, one) for one in degrees]
    assert (run.layout.tp, run.layout.zero) != (1, 0)
    few = read_run(row | {"model": "DeepSeek-V3", "n_gpus": "8"})
    assert fastest_usual(few.job, 8, lambda _: 128, 128) is None
    assert few.layout.gpus == 8
