"""What a search tries: degrees that divide heads, layers, sequences and batches, within the chips there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.architecture import Architecture, ExpertsSpec, FeedForwardSpec, LayerGroup, SoftmaxAttention
from centime.catalogue.chips import chip
from centime.plan.layouts.candidates import WHOLE, Grid, divisors, families
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job

DENSE = Architecture("small dense", 512, 8192, (LayerGroup(SoftmaxAttention(8, 4, 64), FeedForwardSpec(2048), 6),))
JOB = Job(DENSE, chip("h800"), 2048, 64, "bf16", TrainingSoftware(2025.0))
ONE = Grid(tensor=(1,), pipeline=(1,), context=(1,), micro_batches=(1,))


@pytest.mark.parametrize(
    ("seq", "degrees"),
    [
        (4096, [1]),
        (8190, [1]),  # slices of 4,095 tokens
        (8192, [1, 2]),
        (16_384, [1, 2, 4]),
        (16_388, [1, 2]),  # a causal sequence is dealt out in twice as many parts as chips
        (2**18, [1, 2, 4, 8, 16, 32, 64]),
        (2**20, [1, 2, 4, 8, 16, 32, 64]),
    ],
)
def test_a_slice_of_a_sequence_has_four_thousand_tokens(seq: int, degrees: list[int]) -> None:
    grid = replace(ONE, context=WHOLE.context)
    assert [one.cp for one in families(replace(JOB, seq=seq), 64, grid)] == degrees


@pytest.mark.parametrize(
    ("grid", "name", "degrees"),
    [
        (replace(ONE, tensor=None), "tp", [1, 2, 4, 8]),
        (replace(ONE, tensor=(2, 3)), "tp", [2]),
        (replace(ONE, pipeline=None), "pp", [1, 2, 3, 4, 5, 6]),
        (replace(ONE, micro_batches=WHOLE.micro_batches), "micro_batch", [1, 2, 4, 8, 16]),
        (replace(ONE, expert=None), "ep", [1]),
    ],
)
def test_degrees_are_those_that_divide(grid: Grid, name: str, degrees: list[int]) -> None:
    assert [getattr(one, name) for one in families(JOB, 64, grid)] == degrees


def test_a_tensor_stays_within_a_node_and_the_chips_there_are() -> None:
    grid = replace(ONE, tensor=None)
    assert [one.tp for one in families(JOB, 4, grid)] == [1, 2, 4]
    alone = replace(JOB, chip=replace(JOB.chip, scaleup_domain=None))
    assert [one.tp for one in families(alone, 64, grid)] == [1]
    three = replace(DENSE, blocks=(LayerGroup(SoftmaxAttention(12, 3, 64), FeedForwardSpec(3072), 6),))
    assert [one.tp for one in families(replace(JOB, arch=three), 64, grid)] == [1, 3, 6]  # keys divide or repeat


def test_experts_and_replicas_divide_one_another() -> None:
    mixture = replace(DENSE, blocks=(LayerGroup(SoftmaxAttention(8, 4, 64), ExpertsSpec(12, 2, 512), 6),))
    job = replace(JOB, arch=mixture, global_batch=24)
    found = {one.ep: one.replicas for one in families(job, 12, ONE)}
    assert found == {
        1: (1, 2, 3, 4, 6, 8, 12),
        2: (2, 4, 6, 8, 12),
        3: (3, 6, 12),
        4: (4, 8, 12),
        6: (6, 12),
        12: (12,),
    }
    widest = {one.ep: one.replicas for one in families(job, 12, replace(ONE, widest=True))}
    assert widest == dict.fromkeys(found, (12,))


def test_divisors_rise() -> None:
    assert [divisors(n) for n in (1, 7, 12, 36)] == [(1,), (1, 7), (1, 2, 3, 4, 6, 12), (1, 2, 3, 4, 6, 9, 12, 18, 36)]
