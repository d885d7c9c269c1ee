"""What the cells of a row of published runs mean, and what is taken where they are blank."""

from __future__ import annotations

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.check.phases import ONLINE_CONTEXT, ONLINE_TTFT_S, engine_of
from centime.plan.check.plan import sums
from centime.plan.check.published_run import _default_layout, precision_of, read_run, tuned_software, whole, year_of
from centime.plan.check.row_prediction import RowPrediction
from centime.plan.check.serving import predict_row, read_case
from centime.plan.check.serving_rows import number, parse_layout, speculation, stated_batch
from centime.plan.serving.units import Unit
from centime.plan.serving.waiting import HEADROOM, busiest_prefill
from centime.plan.step.memory import usable_bytes

DENSE = {
    "id": "x", "kind": "benchmark-pretrain", "model": "Llama-3.1-8B", "gpu": "H100", "n_gpus": "8", "seq_len": "8192",
    "global_batch_seqs": "128", "micro_batch": "1", "tp": "1", "pp": "1", "precision": "bf16",
    "tokens_per_s_per_gpu": "9000", "software_date": "2025-06",
}  # fmt: skip
H100 = chip("h100")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("FP8 rowwise", "fp8-row"), ("NVFP4", "nvfp4"), ("FP8-MX", "mxfp8"), ("fp8", "fp8"), ("BF16/FP8", "bf16"),
        ("bf16", "bf16"), ("", "bf16"),
    ],
)  # fmt: skip
def test_precisions(text: str, taken: str) -> None:
    found, note = precision_of(text, H100)
    assert found == taken
    assert bool(note) == (text == "")
    assert precision_of("fp8", chip("a100")) == ("bf16", f"{chip('a100').name} has no fp8: taken as bf16")


@pytest.mark.parametrize(
    ("row", "year", "said"),
    [
        ({"software_date": "2025-06"}, 2025 + 5.5 / 12, ""),
        ({"source": "arXiv:2407.21783, table 4"}, 2024 + 6.5 / 12, "dated by its source"),
        ({"software": "NeMo 25.09"}, 2025 + 8.5 / 12, "dated by its source"),
        ({"software": "NeMo 25.13"}, 2022 + 8.5 / 12 + 2.1, "2.1 years after"),
        ({}, 2022 + 8.5 / 12 + 2.1, "2.1 years after"),
    ],
)
def test_software_is_dated_by_its_row_its_source_or_its_chip(row: dict[str, str], year: float, said: str) -> None:
    assert H100.launched.startswith("2022-09")
    found, note = year_of(row, H100)
    assert found == pytest.approx(year)
    assert said in note
    assert bool(said) == bool(note)
    assert year_of({}, chip("gb300"))[0] <= 2026.7


def test_kernels_of_the_chips_maker_and_runs_of_production_are_tuned() -> None:
    assert tuned_software({"kind": "production-pretrain"})
    for who in ("NeMo 26.08", "MaxText", "Transformer Engine"):
        assert tuned_software({"kind": "benchmark-pretrain", "software": who})
    assert not tuned_software({"kind": "benchmark-pretrain", "software": "torchtitan"})
    assert not tuned_software({"kind": "benchmark-sft"})


def test_whole_numbers() -> None:
    assert [whole({"a": text}, "a") for text in ("", " ", "1", "2,048", "8.0")] == [None, None, 1, 2048, 8]
    for text in ("0", "0.5", "1.5", "-1"):
        with pytest.raises(UserError, match="whole number of at least 1"):
            whole({"a": text}, "a")


@pytest.mark.parametrize(
    ("model", "few", "many"),
    [
        ("llama-3.1-8b", (1, 1, 1, 3), (1, 1, 1, 3)),
        ("qwen2.5-32b", (8, 1, 1, 1), (8, 2, 1, 1)),  # 4 B parameters on a chip
        ("llama-3.1-70b", (8, 1, 1, 1), (8, 4, 1, 1)),
        ("llama-3.1-405b", (8, 1, 1, 1), (8, 16, 1, 1)),
        ("mixtral-8x7b", (1, 1, 8, 1), (1, 1, 8, 1)),  # as many as it has experts
        ("deepseek-v2-lite", (1, 1, 8, 1), (1, 1, 8, 1)),
        ("gpt-oss-120b", (1, 8, 1, 1), (1, 8, 64, 1)),
        ("deepseek-v3", (1, 8, 1, 1), (1, 16, 64, 1)),
    ],
)
def test_the_layout_of_what_fits_nowhere_is_by_size(
    model: str, few: tuple[int, int, int, int], many: tuple[int, int, int, int]
) -> None:
    arch = architecture(model)
    assert [_default_layout(arch, gpus, None) for gpus in (8, 2048)] == [few, many]
    assert _default_layout(arch, 12, None) == (1, 1, 1, 3)
    assert _default_layout(arch, 2048, 2) == (*many[:3], 2)


@pytest.mark.parametrize(("tp", "pp", "gpus"), [("1", "1", 512), ("8", "3", 528), ("8", "128", 1024)])
def test_gpus_that_are_not_stated_are_some_five_hundred_whole_copies(tp: str, pp: str, gpus: int) -> None:
    row = DENSE | {"model": "llama-3.1-405b", "n_gpus": "", "tp": tp, "pp": pp, "global_batch_seqs": "2112"}
    run = read_run(row)
    assert run.layout.gpus == gpus
    assert f"n_gpus not stated: {gpus}" in run.assumed
    assert not run.known_layout


@pytest.mark.parametrize(("text", "zero"), [("fsdp2", 3), ("0", 1), ("", 1), ("zero3", 3), ("hybrid_shard", 3)])
def test_sharding(text: str, zero: int) -> None:
    assert read_run(DENSE | {"fsdp_zero": text}).layout.zero == zero


@pytest.mark.parametrize(
    ("pp", "vp", "text", "taken"),
    [
        ("8", "1", "DualPipeV", "dualpipev"), ("8", "1", "DualPipe", "dualpipe"), ("8", "1", "zero bubble", "zb"),
        ("8", "1", "ZB-H1", "zb"), ("8", "2", "", "interleaved"), ("8", "1", "interleaved 1F1B", "interleaved"),
        ("8", "1", "1F1B", "1f1b"), ("1", "1", "interleaved", "1f1b"),
    ],
)  # fmt: skip
def test_schedules(pp: str, vp: str, text: str, taken: str) -> None:
    run = read_run(DENSE | {"pp": pp, "vp": vp, "schedule": text})
    assert run.layout.schedule == taken
    if text.startswith("interleaved") and pp == "8":
        assert (run.layout.vp, "interleaved schedule without vp: 4" in run.assumed) == (4, True)


@pytest.mark.parametrize(
    ("text", "taken"), [("full", "full"), ("none", "none"), ("selective", "selective"), ("attn", "selective")]
)
def test_recomputation(text: str, taken: str) -> None:
    run = read_run(DENSE | {"recompute": text})
    assert (run.layout.recompute, run.recomputed) == (taken, None)
    assert read_run(DENSE).recomputed is not None


def test_a_micro_batch_that_is_not_stated_divides_a_replicas_and_fits() -> None:
    sizes = {}
    for batch in ("8", "16", "24", "32", "64"):
        run = read_run(DENSE | {"global_batch_seqs": batch, "micro_batch": "", "seq_len": "512", "fsdp_zero": "3"})
        sizes[int(batch) // 8] = run.layout.micro_batch
        assert f"micro_batch not stated: {run.layout.micro_batch}" in run.assumed
    assert sizes == {1: 1, 2: 2, 3: 1, 4: 4, 8: 8}
    long = DENSE | {"global_batch_seqs": "64", "micro_batch": "", "seq_len": "131072", "fsdp_zero": "3"}
    assert read_run(long).layout.micro_batch == 1
    assert usable_bytes(H100) < 80e9
    assert read_run(DENSE | {"micro_batch": "", "pp": "2", "global_batch_seqs": "64"}).layout.micro_batch == 1


def test_a_replicas_whole_batch_called_its_micro_batch_is_cut_up_by_a_pipeline() -> None:
    run = read_run(DENSE | {"pp": "2", "micro_batch": "8", "global_batch_seqs": "32"})
    assert (run.layout.micro_batch, run.job.global_batch) == (1, 32)
    kept = read_run(DENSE | {"pp": "2", "micro_batch": "4", "global_batch_seqs": "32"})
    assert kept.layout.micro_batch == 4


@pytest.mark.parametrize("pp", [1, 2])
@pytest.mark.parametrize("micro", [1, 2, 4])
@pytest.mark.parametrize("rounds", [1, 2])
def test_of_a_layout_that_is_stated_nothing_is_assumed(pp: int, micro: int, rounds: int) -> None:
    """But a replica's batch in one piece, which a pipeline cuts up."""
    batch = micro * rounds * 8 // pp
    row = DENSE | {"pp": str(pp), "micro_batch": str(micro), "global_batch_seqs": str(batch), "recompute": "none"}
    run = read_run(row)
    cut = pp > 1 and micro > 1 and rounds == 1
    assert [text for text in run.assumed if "batch" in text or "layout" in text] == (
        ["micro_batch is the replica's whole batch: the pipeline takes it one sequence at a time"] if cut else []
    )
    assert run.layout.micro_batch == (1 if cut else micro)
    assert (run.job.global_batch, run.layout.dp) == (batch, 8 // pp)
    unsaid = read_run(row | {"global_batch_seqs": ""})
    assert unsaid.job.global_batch == micro * 8 // pp


SERVED = {
    "id": "A", "group": "bench", "model": "meta-llama/Meta-Llama-3-8B", "precision": "bf16", "gpu": "Nvidia H100 GPU",
    "n_gpus": "1", "engine": "vLLM", "config": "TP1", "phase": "decode", "isl": "1024", "osl": "1024",
    "concurrency_or_batch": "1", "output_tok_s_per_gpu": "100", "date": "2025-05",
}  # fmt: skip


def test_a_single_sequence_is_a_batch() -> None:
    one, two = (predict_row(SERVED | {"concurrency_or_batch": batch}).predicted for batch in ("1", "2"))
    assert one is not None
    assert two is not None
    assert one < two < 2.01 * one
    assert "does not fit" in predict_row(SERVED | {"model": "meta-llama/Meta-Llama-3-70B"}).reason


def test_a_unit_of_production_keeps_a_headroom_for_bursts() -> None:
    row = SERVED | {
        "group": "DeepSeek production", "model": "DeepSeek-V3", "precision": "fp8", "gpu": "H800", "n_gpus": "32",
        "config": "prefill unit EP32/DP32", "phase": "prefill", "isl": "", "concurrency_or_batch": "",
        "output_tok_s_per_gpu": "", "input_tok_s_per_gpu": "9000", "prefix_cache": "50% hit",
    }  # fmt: skip
    layout = parse_layout(row["config"], 32, True)
    assert layout is not None
    most = busiest_prefill(engine_of(read_case(row), layout.unit, None), ONLINE_CONTEXT, 0.5, ONLINE_TTFT_S)[0]
    assert predict_row(row).predicted == pytest.approx(most / (1 + HEADROOM) * 32 / 0.5 / 32)


@pytest.mark.parametrize("missing", ["isl", "osl", "concurrency_or_batch"])
def test_a_static_batch_needs_its_sizes(missing: str) -> None:
    row = SERVED | {"phase": "batch", "output_tok_s_per_gpu": "", "total_tok_s_per_gpu": "3000"}
    assert predict_row(row).predicted
    assert "a static batch needs isl, osl and concurrency_or_batch" in predict_row(row | {missing: ""}).reason


def test_a_single_node_is_one_unit_and_a_page_of_figures_none() -> None:
    row = SERVED | {"n_gpus": "8", "concurrency_or_batch": "", "phase": "mixed", "config": "single node"}
    assert predict_row(row).predicted
    assert "a figure of a page" in predict_row(row | {"config": "8 GPUs"}).reason
    assert predict_row(row | {"config": "8 GPUs", "phase": "decode"}).predicted
    assert predict_row(row | {"config": "8 GPUs", "phase": "prefill+decode"}).predicted is None


def test_batches_and_speculation_as_sources_write_them() -> None:
    layout = parse_layout("TP2", 4, False)
    assert layout is not None
    assert (layout.unit.chips, layout.units) == (2, 2)
    found = [stated_batch(text, layout) for text in ("256/device", "bs 128 per GPU", "64", "", "many")]
    assert found == [512, 256, 32, None, None]
    texts = ("", "MTP1 ~90% acc", "MTP", "MTP=3", "eagle")
    assert [speculation({"mtp_spec": text}, True, Unit()) for text in texts] == [
        (0, None), (1, 0.9), (1, None), (3, None), (1, None),
    ]  # fmt: skip
    release = {"engine": "TRTLLM 1.1.0rc2.post2", "date": "2026-01-14"}
    assert speculation(release, True, Unit(tp=8)) == (3, None)
    assert speculation(release, True, Unit(dp=8, ep=8)) == (1, None)
    assert speculation(release, False, Unit(tp=8)) == (0, None)  # a model that has no module to draft with
    assert speculation(release | {"date": "2025-12-15"}, True, Unit(tp=8)) == (0, None)
    assert speculation(release | {"mtp_spec": "none"}, True, Unit(tp=8)) == (0, None)
    assert [number(text) for text in ("1,024", "", None, "nan", "x")] == [1024, None, None, None, None]


def predicted(id: str, error: float, *, covered: bool = True) -> RowPrediction:
    actual = 100.0
    found = actual * (1 + error)
    ends = (found * 0.9, found * 1.1) if not covered else (min(found, actual) * 0.9, max(found, actual) * 1.1)
    return RowPrediction(id, "t", "u", found, *ends, actual, error)


@pytest.mark.parametrize(("actual", "inside"), [(89.0, False), (90.0, True), (110.0, True), (111.0, False)])
def test_an_interval_holds_its_ends(actual: float, inside: bool) -> None:
    assert RowPrediction("a", "t", "u", 100.0, 90.0, 110.0, actual, 0.0).covered == inside


def test_the_sums_by_hand() -> None:
    rows = [predicted(str(i), error) for i, error in enumerate((-0.4, -0.1, 0.0, 0.2))]
    rows += [
        predicted("out", 0.3, covered=False),
        RowPrediction("not", "t", "u", reason="no"),
        RowPrediction("none", None, ""),
    ]
    found = sums(rows)
    assert (found["n"], found["answered"]) == (6, 5)
    assert found["median_abs_error"] == pytest.approx(0.2)
    assert found["bias"] == 0.0
    assert found["p90_abs_error"] == pytest.approx(0.3 + 0.6 * 0.1)
    assert found["coverage80"] == pytest.approx(0.8)
    widths = sorted((row.high - row.low) / 2 / row.predicted for row in rows[:5])  # type: ignore[operator]
    assert found["median_width"] == pytest.approx(widths[2])
    assert sums(rows[5:]) == {"n": 1, "answered": 0} | dict.fromkeys(list(found)[2:])


def test_a_dual_board_is_two_chips_counted_once() -> None:
    row = {"model": "llama-3.1-8b", "gpu": "[MAXSUN] MS-Intel Arc Pro B60 Dual 48G Turbo", "n_gpus": "4"}
    assert [n for _, n in read_case(row).chips] == [8]
    assert [n for _, n in read_case({**row, "gpu": "Arc Pro B60"}).chips] == [4]


def test_weights_that_were_published_in_four_bits_are_read_so_whatever_a_row_calls_its_products() -> None:
    row = {"model": "gpt-oss-120b", "gpu": "H100 SXM", "n_gpus": "4", "precision": "fp8", "engine": "TensorRT-LLM 1.2"}
    form = engine_of(read_case(row), Unit(), None).form
    assert (form.name, form.expert_bytes, form.expert_compute, form.kv_bytes) == ("mxfp4", 0.53125, "bf16", 1.0)
    assert engine_of(read_case({**row, "model": "deepseek-v3"}), Unit(), None).form.name == "fp8"
