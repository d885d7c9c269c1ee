"""Seconds that a step waits for traffic, message by message: each kind where its groups are, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.step.collectives import exchange_seconds, gather_seconds, send_seconds
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import TrainingSoftware, fitted
from centime.plan.step.job import Job
from centime.plan.step.layout import parse

SEQ, BATCH, GPUS = 4096, 512, 64
CONSTANTS = replace(fitted(), hop_us=50.0)


def by_hand(cost: StepCost, layout_text: str) -> dict[str, float]:
    """Of the mean stage: forward and backward of all its micro-batches."""
    layout, rates, c = parse(layout_text, GPUS), cost.load.rates, CONSTANTS
    arch, hop = cost.job.arch, 50e-6
    hidden, layers = arch.hidden, sum(block.repeat for block in arch.blocks) + arch.mtp_modules
    mixtures = layers - 3 if layout.ep > 1 else 0  # V3's first three are dense
    group = SEQ // layout.cp  # tokens of a tensor-parallel group
    rounds = BATCH / layout.dp / layout.pp
    found = dict.fromkeys(("tensor_parallel", "context_parallel", "expert_parallel", "pipeline_send"), 0.0)
    if layout.tp > 1:  # a gather before and a scatter after each mixer and dense feed-forward; 1.5 as many backward
        each = gather_seconds(layout.tp, 1, 2 * hidden * group, rates) + hop
        found["tensor_parallel"] = rounds * 2.5 * 2 * (2 * layers - mixtures) * each * c.tensor_exposed
    if layout.cp > 1:  # keys and values of the whole sequence, again and with their gradients backward
        keys = 2 * 2 * 8 * 128 * SEQ / layout.tp  # bytes of a layer of 8 key heads and as many value heads
        each = gather_seconds(layout.cp, layout.tp, keys, rates) + hop
        found["context_parallel"] = rounds * 3 * layers * each * c.context_exposed
    if layout.ep > 1:  # dispatch and combine, both ways
        copies = 2 * 8 * hidden * group / layout.tp  # bytes to 8 experts a token, which 4 nodes hold
        each = exchange_seconds(layout.ep, 1, copies, 8, 4, rates) + hop
        found["expert_parallel"] = rounds * 2 * 2 * mixtures * each * c.expert_exposed
    if layout.pp > 1:
        each = send_seconds(GPUS // layout.pp, 2 * hidden * group / layout.tp, rates) + hop
        found["pipeline_send"] = 2 * BATCH / layout.dp * layout.vp * each * c.pipeline_exposed
    return found


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        ("Llama-3.1-70B", "tp=8"),
        ("Llama-3.1-70B", "cp=2"),
        ("Llama-3.1-70B", "tp=2,cp=4,pp=2,schedule=1f1b"),
        ("Llama-3.1-70B", "tp=4,pp=4,vp=4,schedule=interleaved"),
        ("Llama-3.1-70B", "zero=3"),
        ("DeepSeek-V3", "ep=16"),
        ("DeepSeek-V3", "tp=2,pp=4,ep=8,schedule=1f1b"),
    ],
)
def test_what_is_waited_for(model: str, layout: str) -> None:
    cost = StepCost(Job(architecture(model), chip("h800"), SEQ, BATCH, "bf16", TrainingSoftware(2025.0)), CONSTANTS)
    parts = cost.times(parse(layout, GPUS)).parts
    for name, seconds in by_hand(cost, layout).items():
        assert parts.get(name, 0.0) == pytest.approx(seconds), name
