"""The search equals brute force, and more chips are never slower."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.architecture import Architecture, ExpertsSpec, FeedForwardSpec, LayerGroup, SoftmaxAttention
from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.layouts.candidates import RECOMPUTE, WHOLE, families, schedules_of, shapes, sharding_of
from centime.plan.layouts.search import SearchResult, search
from centime.plan.show.language import writer
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, objections, parse
from centime.plan.step.memory import memory_of, usable_bytes
from centime.plan.step.pipeline import Passes
from centime.plan.step.prediction import predict_step, software_of
from centime.plan.training.layout_report import pipeline_section, search_sections

DENSE = Architecture("small dense", 512, 8192, (LayerGroup(SoftmaxAttention(8, 4, 64), FeedForwardSpec(2048), 4),))
MIXTURE = Architecture(
    "small mixture", 512, 8192, (LayerGroup(SoftmaxAttention(4, 2, 128), ExpertsSpec(8, 2, 512), 3),), mtp_modules=1
)
V3 = Job(architecture("deepseek-v3"), chip("h800"), 4096, 15_360, "fp8", TrainingSoftware(2024.9))
WIDE = Architecture("wide", 8192, 32_000, (LayerGroup(SoftmaxAttention(64, 8, 128), FeedForwardSpec(28_672), 6),))


def brute_force(arch, device, gpus, seq, batch, cost) -> float:
    """The shortest step of every layout that the rules of `objections` let pass."""
    best = math.inf
    numbers = range(1, gpus + 1)
    for tp, pp, cp, dp in itertools.product(numbers, range(1, arch.layers + 1), WHOLE.context, numbers):
        used = tp * pp * cp * dp
        if used > gpus or (cp > 1 and seq // cp < 4096):
            continue
        for ep, mbs in itertools.product(numbers, WHOLE.micro_batches):
            if batch % (dp * mbs) or (tp * cp * dp) % ep:
                continue
            zeros = (0, 1, 2, 3) if dp * mbs == batch else (0, 1, 3)
            schedules = [("1f1b", 1), ("zb", 1), ("dualpipe", 1), ("dualpipev", 1)]
            schedules += [("interleaved", vp) for vp in range(2, arch.layers + 1)]
            for zero, recompute, (schedule, vp) in itertools.product(zeros, RECOMPUTE, schedules):
                layout = Layout(used, tp, pp, vp, cp, ep, zero, mbs, schedule, recompute)
                if next(objections(layout, arch, device, seq, batch), None) is None and cost.fits(layout):
                    best = min(best, cost.seconds(layout))
    return best


@pytest.mark.parametrize(
    ("arch", "device", "gpus", "seq", "batch"),
    [
        (DENSE, "h800", 1, 2048, 8),
        (DENSE, "h800", 4, 2048, 8),
        (DENSE, "h800", 6, 2048, 12),
        (DENSE, "h100", 8, 16_384, 4),
        (DENSE, "a100", 7, 4096, 6),
        (MIXTURE, "h800", 4, 4096, 16),
        (MIXTURE, "h20", 8, 4096, 8),
        (MIXTURE, "b200", 6, 8192, 5),
        (WIDE, "h800", 4, 4096, 8),
        (WIDE, "a100", 8, 8192, 16),
    ],
)
def test_search_equals_brute_force(arch, device, gpus, seq, batch):
    device = chip(device)
    job = Job(arch, device, seq, batch, "bf16", software_of(None))
    cost = StepCost(job)
    found = search(job, gpus, cost=cost)
    assert found.best.seconds == pytest.approx(brute_force(arch, device, gpus, seq, batch, cost), rel=1e-12)
    for candidate in found.top:
        assert list(objections(candidate.layout, arch, device, seq, batch)) == []
        assert candidate.layout.gpus <= gpus


@given(st.integers(1, 40), st.integers(1, 24), st.sampled_from([8, 12, 30, 64]), st.sampled_from([DENSE, MIXTURE]))
@settings(max_examples=20, deadline=None)
def test_more_chips_are_never_slower(gpus, more, batch, arch):
    job = Job(arch, chip("h800"), 4096, batch, "bf16", software_of(None))
    few, many = search(job, gpus), search(job, gpus + more)
    assert many.best.tokens_per_s >= few.best.tokens_per_s
    assert 0 <= many.idle < gpus + more
    assert many.idle == gpus + more - many.best.layout.gpus


@pytest.fixture(scope="module")
def v3() -> tuple[SearchResult, StepCost]:
    cost = StepCost(V3)
    return search(V3, 2048, cost=cost), cost


def test_deepseek_v3_on_2048_h800(v3):
    result, cost = v3
    assert result.complete
    assert result.tried > result.feasible >= 20_000
    own = parse("pp=16,ep=64,dp=128,schedule=dualpipe,zero=1,recompute=selective,mbs=1", 2048)
    assert cost.fits(own)
    assert result.best.seconds <= cost.seconds(own)
    assert len(result.top) == 10
    assert [c.seconds for c in result.top] == sorted(c.seconds for c in result.top)
    assert len({c.layout for c in result.top}) == 10


def test_a_quick_search_finds_the_same_ten(v3):
    quick = search(V3, 2048, cost=v3[1], priced=0)
    assert quick.top == v3[0].top
    assert quick.feasible < v3[0].feasible


def test_the_result_says_why(v3):
    result, _ = v3
    assert sum(result.times[0].parts.values()) == pytest.approx(result.best.seconds)
    assert sum(result.runner_up_parts.values()) == pytest.approx(result.top[1].seconds)
    one, other = result.times[0].parts, result.runner_up_parts
    differences = {name: one.get(name, 0.0) - other.get(name, 0.0) for name in {*one, *other}}
    told = {name.replace(" ", "_"): float(by) for name, by in re.findall(r"([a-z ]+) ([+-]\d+\.\d+) s", result.why())}
    assert len(told) == 3
    for name, seconds in told.items():
        assert seconds == pytest.approx(differences[name.strip("_")], abs=0.0006)
    assert "less than the runner-up" in result.why()
    assert result.best.tokens_per_s == pytest.approx(15_360 * 4096 / result.best.seconds)
    answer = json.loads(json.dumps(result.to_json()))
    assert parse(answer["top"][0]["layout"], answer["top"][0]["gpus"]) == result.best.layout
    assert answer["idle_gpus"] == 0


@pytest.mark.parametrize("name", ["deepseek-v3", "llama-3.1-405b", "qwen3-30b-a3b"])
def test_prices_are_the_predictors_own(name):
    """What the search asks in parts is what `step.times` and `step.memory` say of the whole; and its bound is one."""
    job = replace(V3, arch=architecture(name))
    arch, device, cost = job.arch, job.chip, StepCost(job)
    draw = random.Random(0)
    possible = list(shapes(job, 2048))
    for shape in draw.sample(possible, 300):
        schedule, vp = draw.choice(list(schedules_of(shape, job)))
        layout = shape.layout(schedule, vp, draw.choice(sharding_of(shape, 15_360)), draw.choice(RECOMPUTE))
        assert list(objections(layout, arch, device, 4096, 15_360)) == []
        whole = StepCost(job).times(layout)
        assert cost.seconds(layout) == whole.total
        assert cost.least_seconds(layout) <= whole.total
        assert cost.least_scheduled(shape.layout())(schedule, vp) <= whole.total
        memory = memory_of(job, layout)
        assert cost.fits(layout) == (memory.total <= usable_bytes(device))


def test_a_familys_bound_is_one_of_every_member(v3):
    cost = v3[1]
    for family in random.Random(1).sample(list(families(V3, 2048)), 200):
        fewest, most = family.ends()
        bound = cost.least_seconds(most.layout(), fewest.layout().gpus)
        members = list(family.shapes())
        assert (members[0], members[-1]) == (fewest, most)
        assert all(bound <= cost.least_seconds(shape.layout()) for shape in members)


def test_sections_in_both_languages(v3):
    result, _ = v3
    for lang, head, lane in (("en", "Layout", "stage 1"), ("fr", "Répartition", "étage 1")):
        table, bars = search_sections(result, writer(lang))
        assert table.head[0] == head
        assert len(table.rows) == 10
        assert parse(table.rows[0][0], result.best.layout.gpus) == result.best.layout
        assert [sum(parts.values()) for _, parts in bars.bars] == pytest.approx([c.seconds for c in result.top[:2]])
        own = parse("pp=16,ep=64,schedule=dualpipe", 2048)
        timeline = pipeline_section(own, 120, Passes(0.058, 0.084, 0.042, 0.139), writer(lang))
        assert timeline.lanes[0][0] == lane
        assert len(timeline.lanes) == 16
        assert "120" in timeline.note


def test_the_best_is_predicted_as_it_was_found():
    job = Job(architecture("llama-3.1-70b"), chip("h100"), 8192, 128, "bf16", software_of("2025-03"))
    for candidate in search(job, 64).top:
        step = predict_step(job, candidate.layout)
        assert step.step_time_s == candidate.seconds


def test_each_of_the_best_has_the_interval_of_its_own_prediction(v3):
    result, _ = v3
    assert len(result.intervals) == len(result.top) == 10
    for candidate, told, (low, high) in zip(result.top, result.to_json()["top"], result.intervals, strict=True):
        step = predict_step(result.cost.job, candidate.layout)
        assert (low, high) == pytest.approx((step.low_s, step.high_s))
        assert (told["low_s"], told["high_s"]) == (low, high)


def test_what_cannot_be_found_says_so():
    with pytest.raises(UserError, match="fits 8 x H800"):
        search(replace(V3, global_batch=512), 8)
    with pytest.raises(UserError, match="gpus=0"):
        search(V3, 0)


def test_a_search_out_of_time_says_so():
    result = search(replace(V3, arch=DENSE, global_batch=64), 64, max_seconds=0.0)
    assert not result.complete
    assert result.top


def test_two_layouts_are_compared_and_one_stands_alone():
    job = replace(V3, arch=DENSE, global_batch=64)
    assert "less than the runner-up" in search(job, 4, keep=2).why()
    assert search(job, 4, keep=1).why() == "No other layout fits."


def test_gradients_are_sharded_where_a_step_is_one_micro_batch():
    """ZeRO-2 of several micro-batches would reduce its shards of gradients after each of them: ZeRO-3 does better."""
    for shape in shapes(V3, 64):
        if shape.dp > 1:
            once = shape.dp * shape.micro_batch
            assert sharding_of(shape, once) == (0, 1, 2, 3)
            assert sharding_of(shape, 2 * once) == (0, 1, 3)


@pytest.mark.parametrize("keep", [1, 2, 7])
def test_the_best_kept_are_the_first_of_all(keep: int):
    job = replace(V3, arch=DENSE, global_batch=64)
    every = search(job, 4, keep=100_000)
    assert len(every.top) == every.feasible > 7
    assert search(job, 4, keep=keep).top == every.top[:keep]


def test_one_chip_one_sequence_one_token_is_a_machine():
    one = search(replace(V3, arch=DENSE, seq=1, global_batch=1), 1)
    assert one.best.layout.gpus == 1
    for change in ({"seq": 0}, {"global_batch": 0}):
        with pytest.raises(UserError, match="must be at least 1"):
            search(replace(V3, arch=DENSE, **change), 1)
