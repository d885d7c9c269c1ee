"""Layouts for longer sequences: context parallelism in place of replicas, and the fastest of them that fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.architecture import Architecture, FeedForwardSpec, LayerGroup, SoftmaxAttention
from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.layouts.longer import fastest_longer, longer
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout
from centime.plan.step.prediction import predict_step

DENSE = Architecture("small dense", 512, 8192, (LayerGroup(SoftmaxAttention(8, 4, 64), FeedForwardSpec(2048), 4),))
JOB = Job(DENSE, chip("h800"), 16_384, 8, "bf16", TrainingSoftware(2025.0))
BASE = Layout(16, tp=1, pp=2, micro_batch=4)


@pytest.mark.parametrize(
    ("seq", "batch", "degrees"),
    [
        (2047, 8, [1]),
        (2048, 8, [1, 2]),  # a chip keeps 1,024 tokens of a sequence at least
        (8192, 8, [1, 2, 4, 8]),
        (1_000_000, 8, [1, 2, 4, 8]),  # no more than there are replicas
        (8192, 2, [4, 8]),  # eight replicas have nothing to do with two sequences
        (100, 8, [1]),
    ],
)
def test_replicas_become_slices_of_a_sequence(seq: int, batch: int, degrees: list[int]) -> None:
    found = list(longer(BASE, seq, batch))
    assert [layout.cp for layout in found] == degrees
    assert [layout.dp * layout.cp for layout in found] == [8] * len(found)
    assert {(layout.gpus, layout.pp, layout.micro_batch) for layout in found} == {(16, 2, 1)}


def test_experts_divide_what_a_stage_has_and_too_few_micro_batches_make_1f1b() -> None:
    wide = replace(BASE, ep=8)
    assert [layout.cp for layout in longer(wide, 8192, 8)] == [1, 2, 4, 8]
    assert list(longer(replace(BASE, ep=16), 8192, 8)) == []
    twice = replace(BASE, schedule="dualpipe", vp=1)
    kinds = {layout.micro_batches(8): layout.schedule for layout in longer(twice, 8192, 8)}
    assert kinds == {1: "1f1b", 2: "1f1b", 4: "dualpipe", 8: "dualpipe"}


def test_the_fastest_of_those_that_fit_is_taken() -> None:
    steps = [predict_step(JOB, layout, recompute_as_needed=True) for layout in longer(BASE, JOB.seq, JOB.global_batch)]
    assert len({step.step_time_s for step in steps}) == len(steps) == 4
    found = fastest_longer(BASE, JOB)
    assert found.step_time_s == min(step.step_time_s for step in steps)
    assert found.layout in [step.layout for step in steps]
    large = replace(JOB, arch=architecture("llama-3.1-405b"))
    with pytest.raises(UserError, match="No layout holds sequences of 16384 tokens on these chips"):
        fastest_longer(BASE, large)
