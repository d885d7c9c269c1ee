"""Runs that do not say how they were laid out get the fastest usual layout that fits."""

from __future__ import annotations

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.check.published_run import read_run
from centime.plan.layouts.usual import fastest_usual, usual
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job
from centime.plan.step.layout import objections
from centime.plan.step.memory import memory_of, recomputation, usable_bytes

SOFTWARE = TrainingSoftware(2024.9)


@pytest.mark.parametrize(
    ("model", "gpu", "gpus"),
    [("llama-3.1-8b", "h100", 64), ("llama-3.1-405b", "h100", 4096), ("deepseek-v3", "h800", 512)],
)
def test_it_runs_fits_and_no_other_usual_one_is_faster(model: str, gpu: str, gpus: int) -> None:
    arch, device, batch = architecture(model), chip(gpu), 4096
    job = Job(arch, device, 4096, batch, "bf16", SOFTWARE)
    found = fastest_usual(job, gpus, lambda _: batch, batch)
    assert found is not None
    assert list(objections(found, arch, device, 4096, batch)) == []

    def seconds(layout) -> float:
        again = recomputation(job, layout)
        if memory_of(job, layout, again).total > usable_bytes(device) * 1.0001:
            return float("inf")
        return StepCost(job).times(layout, again).total

    possible = [
        one for one in usual(arch, gpus, SOFTWARE, None) if not list(objections(one, arch, device, 4096, batch))
    ]
    assert seconds(found) == min(map(seconds, possible))
    for degree in ("tp", "pp", "ep"):
        assert all(getattr(one, degree).bit_count() == 1 for one in possible), degree
    assert max(one.pp for one in possible) == 16
    assert seconds(found) < float("inf")


def test_no_more_replicas_than_the_batch_has_sequences() -> None:
    job = Job(architecture("llama-3.1-8b"), chip("h100"), 4096, 16, "bf16", SOFTWARE)
    found = fastest_usual(job, 64, lambda n: max(n, 16), 16)
    assert found is not None
    assert found.dp <= 16


def test_where_nothing_usual_fits_there_is_none() -> None:
    job = Job(architecture("deepseek-v3"), chip("h800"), 4096, 64, "bf16", SOFTWARE)
    assert fastest_usual(job, 8, lambda n: n, 64) is None


def test_rows_keep_what_they_state() -> None:
    row = {"model": "DeepSeek-V2", "gpu": "H800 SXM", "pp": "16", "ep": "8", "seq_len": "4096"}
    run = read_run(row)
    assert (run.layout.pp, run.layout.ep, run.layout.gpus) == (16, 8, 512)
    assert not run.known_layout
    made = read_run({"model": "DeepSeek-V3", "gpu": "H800 SXM", "n_gpus": "2048", "kind": "production-run"})
    assert (made.layout.pp, made.layout.ep, made.layout.schedule, made.job.global_batch) == (16, 64, "dualpipe", 15_360)
    assert not made.known_layout
    bare = read_run({"model": "DeepSeek-V2", "gpu": "H800 SXM", "n_gpus": "1024"})
    assert not bare.known_layout
    assert any("layout not stated" in line for line in bare.assumed)
