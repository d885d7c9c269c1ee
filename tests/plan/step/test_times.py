"""The step predictor: laws it must keep whatever its constants, DeepSeek-V3's published step, memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.architecture import Architecture, ExpertsSpec, LayerGroup, SoftmaxAttention
from centime.catalogue.chips import Chip, chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.layouts.candidates import shapes
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, parse
from centime.plan.step.memory import Recomputed, memory_of, recomputation, usable_bytes
from centime.plan.step.prediction import predict_step, software_of
from centime.plan.step.work import work_of
from centime.plan.training.goodput import goodput

V3 = architecture("DeepSeek-V3")
LLAMA = architecture("Llama-3.1-70B")
H800 = chip("h800")
TODAY = TrainingSoftware(2026.5)
V3_JOB = Job(V3, H800, 4096, 15360, "fp8", TrainingSoftware(2025.0))
V3_LAYOUT = parse("pp=16,ep=64,schedule=dualpipe,zero=1", 2048)
RATES = ("memory_tb_s", "scaleup_gb_s", "scaleout_gb_s", "bf16_tflops", "fp8_tflops")


def seconds(device: Chip, layout: Layout, seq: int = 4096, batch: int = 512, precision: str = "bf16") -> float:
    arch = V3 if layout.ep > 1 else LLAMA
    return StepCost(Job(arch, device, seq, batch, precision, TrainingSoftware(2025.5))).times(layout).total


LAYOUTS = st.sampled_from(
    [
        Layout(64, tp=8),
        Layout(64, tp=4, pp=4, vp=4, schedule="interleaved"),
        Layout(64, zero=3),
        Layout(128, tp=2, cp=2, pp=8, recompute="full"),
        Layout(256, pp=8, ep=32),
        Layout(256, tp=2, pp=4, ep=16, recompute="selective"),
        Layout(256, pp=8, ep=32, schedule="dualpipe"),
        Layout(256, pp=8, ep=8, schedule="zb"),
    ]
)


@settings(deadline=None, max_examples=60)
@given(LAYOUTS, st.sampled_from(RATES), st.floats(1.01, 8.0), st.sampled_from(["bf16", "fp8"]))
def test_a_faster_part_never_slows_a_step(layout: Layout, rate: str, factor: float, precision: str) -> None:
    slow = replace(H800, tdp_watts=None)  # watts a FLOP fall as peaks rise: held out of this law
    fast = replace(slow, **{rate: getattr(slow, rate) * factor})
    assert seconds(fast, layout, precision=precision) <= seconds(slow, layout, precision=precision) * (1 + 1e-9)


@settings(deadline=None, max_examples=40)
@given(LAYOUTS, st.integers(1, 4))
def test_longer_batches_and_sequences_take_longer(layout: Layout, times: int) -> None:
    base = seconds(H800, layout)
    assert seconds(H800, layout, batch=512 * (times + 1)) > base
    assert seconds(H800, layout, seq=4096 * (times + 1)) > base


@pytest.mark.parametrize("layout", [Layout(64, tp=8), Layout(256, pp=8, ep=32)])
def test_recomputation_costs_time_and_saves_memory(layout: Layout) -> None:
    arch = V3 if layout.ep > 1 else LLAMA
    levels = [replace(layout, recompute=word) for word in ("none", "selective", "full")]
    times = [seconds(H800, level) for level in levels]
    sizes = [memory_of(Job(arch, H800, 4096, 512, "bf16", TODAY), level).total for level in levels]
    assert times == sorted(times)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("layout", [Layout(256, pp=8, ep=32, zero=0), Layout(64, tp=8, zero=0)])
def test_sharding_saves_memory(layout: Layout) -> None:
    arch = V3 if layout.ep > 1 else LLAMA
    job = Job(arch, H800, 4096, 512, "bf16", TODAY)
    sizes = [memory_of(job, replace(layout, zero=zero)).total for zero in (0, 1, 2, 3)]
    assert sizes == sorted(sizes, reverse=True)


def test_parts_and_phases_add_up() -> None:
    times = StepCost(V3_JOB).times(V3_LAYOUT)
    assert sum(times.parts.values()) == pytest.approx(times.total)
    assert sum(times.phases.values()) == pytest.approx(times.total, rel=0.02)  # sends are in no phase
    smooth, jitter = times.total - times.parts["jitter"], times.parts["jitter"]
    slowed = times.phases["bubble"] / times.parts["bubble"]
    assert 1 < slowed < times.total / smooth
    once = times.parts["optimizer"] + times.parts["data_parallel"]
    late = jitter - (slowed - 1) * smooth  # what is not in the phases is waited for where replicas meet
    assert times.phases["optimizer"] == pytest.approx(once * slowed + late)


def test_one_group_of_experts_limits_no_routing() -> None:
    """V3's tokens reach at most 4 of 8 nodes; a router with one group sends a token anywhere."""
    assert work_of(V3, 4096).routed_nodes == 4
    mixture = Architecture("mixture", 512, 8192, (LayerGroup(SoftmaxAttention(4, 2, 128), ExpertsSpec(8, 2, 512), 3),))
    assert work_of(mixture, 4096).routed_nodes == 0


def test_deepseek_v3_step_as_published() -> None:
    """Table 4 of arXiv 2505.09343: seconds on 2,048 H800; the step within 5 %, each part within 15 %."""
    step = predict_step(replace(V3_JOB, software=software_of("2024-12")), V3_LAYOUT, recompute_as_needed=True)
    assert step.step_time_s == pytest.approx(19.926, rel=0.05)
    published = {
        "forward_1f": 1.13,
        "backward_1b": 1.99,
        "weight_1w": 0.48,
        "steady_1f1b": 13.95,
        "bubble": 2.06,
        "optimizer": 0.29,
    }
    assert step.phases_s == pytest.approx(published, rel=0.15)
    assert step.low_s < 19.926 < step.high_s
    assert step.memory_gib["total"] * 2**30 < 80e9
    assert step.mfu == pytest.approx(0.389, rel=0.05)


@pytest.mark.parametrize(
    ("model", "layout", "precision", "hours"),
    [
        # thousand H800 hours a trillion tokens (arXiv 2405.04434, section 3.2.3); chips and the 67 B's layout assumed
        ("DeepSeek-V2", "pp=16,ep=8,schedule=zb,zero=1", "bf16", 172.8),
        ("DeepSeek-LLM-67B", "tp=8,pp=4,zero=1", "bf16", 300.6),
    ],
)
def test_other_deepseek_models_within_a_fifth(model: str, layout: str, precision: str, hours: float) -> None:
    batch = 9216 if ",ep" in layout else 4608
    job = Job(architecture(model), H800, 4096, batch, precision, software_of("2024-05"))
    step = predict_step(job, parse(layout, 512), recompute_as_needed=True)
    assert 1e12 / step.tokens_per_s_per_gpu / 3600 / 1e3 == pytest.approx(hours, rel=0.20)


def test_memory_of_published_runs() -> None:
    """GiB that torchtitan reports (Llama-3.1-8B, 8 and 128 H100, FSDP, selective recomputation: 77.0 and 62.0), and
    parameters with optimizer of Megatron's 22B, 530B and 1T (arXiv 2205.05198, figure 1)."""
    arch = architecture("Llama-3.1-8B")
    for gpus, published in ((8, 77.0), (128, 62.0)):
        layout = Layout(gpus, zero=3, micro_batch=2, recompute="selective")
        job = Job(arch, chip("h100"), 8192, 2 * gpus, "bf16", TrainingSoftware(2024.9, tuned=False))
        found = memory_of(job, layout)
        assert found.total / 2**30 == pytest.approx(published, rel=0.35)
    for model, layout, published in (
        ("Megatron-22B", Layout(8, tp=8, zero=0), 45.6),
        ("Megatron-530B", Layout(280, tp=8, pp=35, zero=0), 31.6),
        ("Megatron-1T", Layout(512, tp=8, pp=64, zero=0), 33.0),
    ):
        job = Job(architecture(model), chip("a100 sxm 80gb"), 2048, 8, "bf16", TrainingSoftware(2022.4))
        found = memory_of(job, layout)
        states = (found.weights + found.gradients + found.optimizer) / 2**30
        assert states == pytest.approx(published, rel=0.10)


def test_least_recomputation_that_fits() -> None:
    again = recomputation(V3_JOB, V3_LAYOUT)
    assert 0 < again.light < 1
    assert again.full == 0
    held = memory_of(V3_JOB, V3_LAYOUT, again).total
    assert held == pytest.approx(usable_bytes(H800), rel=1e-6)
    roomy = recomputation(replace(V3_JOB, chip=chip("gb300")), V3_LAYOUT)
    assert roomy == Recomputed(0.0, 0.0)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match=r"GiB on a chip.*Raise pp"):
        predict_step(replace(V3_JOB, global_batch=64, precision="bf16"), Layout(64, ep=8))
    with pytest.raises(UserError, match=r"precision 'int3'.*bf16"):
        predict_step(replace(V3_JOB, precision="int3"), V3_LAYOUT)
    with pytest.raises(UserError, match="2025-06"):
        software_of("June 2025")


def test_larger_machines_fail_more_often() -> None:
    """Llama-3.1-405B: more than 90 % effective training time on 16,384 chips (arXiv 2407.21783, section 3.3.4)."""
    assert goodput(16_384).share == pytest.approx(0.90, abs=0.02)
    shares = [goodput(n).share for n in (8, 64, 512, 4096, 32_768)]
    assert shares == sorted(shares, reverse=True)


def test_what_recomputation_makes_fit_is_never_refused():
    """It fills memory to the last byte, and a sum that rounds up is not one byte more."""
    job = Job(architecture("llama-3.1-70b"), chip("h100"), 4096, 1024, "bf16", TODAY)
    partly = [
        layout
        for layout in (shape.layout() for shape in shapes(job, 128))
        if 0.0 < sum(recomputation(job, layout)) < 2.0 and recomputation(job, layout) != Recomputed(1.0, 0.0)
    ]
    assert any(memory_of(job, layout, recomputation(job, layout)).total > usable_bytes(job.chip) for layout in partly)
    for layout in partly:
        predict_step(job, layout, recompute_as_needed=True)
