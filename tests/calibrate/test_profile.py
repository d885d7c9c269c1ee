"""A whole calibration with a clock on which every call takes half a second: each figure is the work over that time."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from centime.calibrate import calibrate as calibrated
from centime.calibrate import parts, show, steps
from centime.calibrate.calibrate import calibrate
from centime.catalogue.machine import Link, MachineProfile, StepSample
from centime.catalogue.presets import from_depth, preset
from centime.errors import UserError
from centime.ledger.device import this_device
from centime.plan.step.calibrated import PARTS, muon_flops

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SECONDS = 0.5


@pytest.fixture(scope="module")
def profile() -> Iterator[MachineProfile]:
    """The few shapes and steps of a smoke test; the clock goes on as it does here while the module's tests run."""

    def seconds_of(call: Callable[[], object], *_: object) -> float:
        call()
        return SECONDS

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTIME_SMOKE", "1")
        for module in (parts, steps):
            patch.setattr(module, "seconds_of", seconds_of)
        yield calibrate(said.append)
    assert (said[0], said[-1], len(said)) == ("memory and operators", "training steps", 6)


def test_a_profile_says_what_this_machine_does(profile: MachineProfile) -> None:
    assert (profile.device, profile.threads, profile.torch) == (
        this_device("gpu" if torch.cuda.is_available() else "cpu").name,
        torch.get_num_threads(),
        torch.__version__,
    )
    assert profile.memory_bytes_per_s == 2 * parts.COPY_BYTES / SECONDS
    assert profile.operator_s == SECONDS / 100
    assert {(one.m, one.k, one.n) for one in profile.gemms} == set(parts.SHAPES[:6])
    assert all(one.flops_per_s == 2 * one.m * one.k * one.n / SECONDS for one in profile.gemms)
    assert {one.dtype for one in profile.gemms} in ({"fp32"}, {"bf16", "fp32"})
    assert profile.dtype in {one.dtype for one in profile.gemms}
    sampled = [(one.depth, one.tokens, one.sequence, one.optimizer, one.seconds) for one in profile.steps]
    assert sampled == [(d, rows * length, length, name, SECONDS) for d, rows, length, name in steps.CASES[:3]]
    assert list(profile.factors) == [*PARTS]
    assert min(profile.factors.values()) > 0
    assert profile.seconds > 0


def test_attention_is_counted_by_its_causal_pairs(profile: MachineProfile) -> None:
    """Forward, and twice as much backward, of a multiplication and an addition; 2,048 tokens at once, or one row."""
    for one in profile.attention:
        pairs = max(2048, one.sequence) * one.sequence / 2
        assert one.flops_per_s == pytest.approx(3 * 2 * pairs * one.heads * (one.key_dim + one.value_dim) / SECONDS)
    assert [(one.sequence, one.heads) for one in profile.attention][:4] == [(s, h) for s, h, _, _ in parts.HEADS]
    for one, (matrices, short, long) in zip(profile.muon, parts.STACKS, strict=False):
        assert (one.short, one.long) == (short, long)
        assert one.flops_per_s == muon_flops(matrices * short * long, short, long, "v4") / SECONDS


@pytest.mark.parametrize(("gpus", "larger"), [(0, False), (1, True)])
def test_what_only_a_gpu_has_enough_to_do_with_is_measured_on_a_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, gpus: int, larger: bool
) -> None:
    """Which products and steps a whole calibration times, and for how long; nothing is computed."""
    asked: dict[str, Any] = {}

    def kept(name: str, found: Any) -> None:
        monkeypatch.setattr(calibrated, name, lambda *given: asked.update({name: given}) or found)

    for name in ("gemm_rates", "attention_rates", "muon_rates", "step_samples", "links"):
        kept(name, [])
    kept("memory_bytes_per_s", 1.0)
    kept("operator_s", 1.0)
    kept("this_device", this_device("cpu"))
    monkeypatch.setattr(calibrated, "with_factors", lambda made: made)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.delenv("CENTIME_SMOKE", raising=False)
    monkeypatch.setattr(calibrated, "compute_dtype", lambda *_: torch.float32)
    made = calibrate()
    device = CUDA if gpus else CPU
    assert asked["this_device"] == ("gpu" if gpus else "cpu",)
    assert asked["gemm_rates"] == (device, calibrated.GEMM_SECONDS, [*parts.SHAPES, *parts.LARGE_SHAPES * larger])
    assert asked["step_samples"] == (device, torch.float32, [*steps.CASES, *steps.LARGE_CASES * larger])
    assert asked["attention_rates"] == asked["muon_rates"] == (device, torch.float32, calibrated.ATTENTION_SECONDS)
    assert (made.dtype, made.steps) == ("fp32", [])


def test_what_is_timed_has_sizes_that_models_have() -> None:
    """Whole tiles of 16; the heads are those of our presets and of DeepSeek-V3."""
    sizes = [size for shape in (*parts.SHAPES, *parts.LARGE_SHAPES) for size in shape]
    sizes += [size for _, *some in (*parts.STACKS, *parts.LARGE_STACKS) for size in some]
    sizes += [length for _, _, length, _ in (*steps.CASES, *steps.LARGE_CASES)]
    sizes += [length for length, *_ in (*parts.HEADS, *parts.LARGE_HEADS)]
    assert all(size % 16 == 0 for size in sizes)
    for heads, config in ((parts.HEADS, from_depth(2)), (parts.LARGE_HEADS, preset("deepseek-v3"))):
        key = config.qk_nope_head_dim + config.qk_rope_head_dim
        assert {(k, v) for _, _, k, v in heads} == {(key, config.v_head_dim)}


def test_a_step_is_left_out_of_the_fit_that_is_held_against_it(profile: MachineProfile) -> None:
    """Steps that are the parts exactly fit within rounding; one that takes twice as long stands out by itself."""
    raw = [steps._raw(profile, one) for one in profile.steps]
    exact = [replace(one, seconds=2 * sum(own.values())) for one, own in zip(profile.steps, raw, strict=True)]
    fitted = steps.with_factors(replace(profile, steps=exact))
    assert fitted.factors == pytest.approx(dict.fromkeys(PARTS, 2.0), rel=1e-6)
    assert fitted.fit_error == pytest.approx(0, abs=1e-6)
    odd = [replace(exact[0], seconds=2 * exact[0].seconds), *exact[1:]]
    assert steps.with_factors(replace(profile, steps=odd)).fit_error >= 0.5


def test_links_are_those_among_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "all_to_all", lambda count, backend, size: {"nccl": count * size}[backend])
    size = parts.ALL_TO_ALL_BYTES
    for gpus in (0, 1, 2, 8):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert parts.links(CUDA) == ([Link(gpus, size, gpus * size)] if gpus > 1 else [])
        assert parts.links(CPU) == []


def test_an_exchange_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes forked, as a spawned one takes seconds to import torch."""
    forked = multiprocessing.get_context("fork")
    monkeypatch.setattr(parts, "multiprocessing", SimpleNamespace(get_context=lambda _: forked))
    with pytest.raises(UserError, match="all-to-all among this machine's devices failed; see the messages above"):
        parts.all_to_all(1, "no such backend", 64)


def test_a_profile_as_it_is_shown(profile: MachineProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "machine.json"

    def shown(one: MachineProfile) -> str:
        console = Console(file=io.StringIO(), width=200, highlight=False)
        monkeypatch.setattr(show, "Console", lambda **_: console)
        show.show(one, out)
        return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]

    bare = replace(profile, gemms=[one for one in profile.gemms if one.dtype == "fp32"], links=[], fit_error=0.2)
    text = shown(bare)
    assert "memory 1.1 GB/s (copy, read and written); an operator 5000.0 us" in text
    assert "bf16 is only emulated here" in text
    assert "all-to-all" not in text
    assert "within 20%" in text
    assert "Calibrate again" not in text
    assert f"Written to {out} in " in text
    for gemm in bare.gemms:
        assert f"{gemm.m} x {gemm.k} x {gemm.n} {gemm.flops_per_s / 1e9:,.0f} " in text
    for one in bare.attention:
        assert f"{one.sequence:,} tokens, {one.heads} heads {one.flops_per_s / 1e9:,.0f} " in text
    for stack in bare.muon:
        assert f"{stack.short} x {stack.long} {stack.flops_per_s / 1e9:,.0f} " in text
    assert "product fp32 GFLOP/s" in text
    both = replace(bare, gemms=[*bare.gemms, *(replace(one, dtype="bf16") for one in bare.gemms)], fit_error=0.21)
    text = shown(replace(both, links=[Link(4, 1, 2.5e9)], steps=[StepSample(2, 1, 1, "adamw", 1.0)]))
    assert "emulated" not in text
    assert "all-to-all among 4 devices: 2.5 GB/s a device" in text
    assert "was the machine busy? Calibrate again when it is idle." in text
    assert "1 training steps explained" in text
