"""Schedules laid out in time: nothing runs before what it needs, nothing twice at once, and memory as published."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.counts.architecture import attention_flops, count_architecture, gemms
from centime.plan.step import schedules
from centime.plan.step.layout import BIDIRECTIONAL, Layout
from centime.plan.step.pipeline import Passes, Pipeline, layout_phases, phases, simulate, whole_seconds
from centime.plan.step.stages import slowest, split

SCHEDULES = ("1f1b", "interleaved", "zb", "dualpipe", "dualpipev")
seconds = st.floats(0.2, 3.0)


@st.composite
def pipelines(draw, most_stages: int = 6):
    """A schedule, its stages, chunks and micro-batches."""
    schedule = draw(st.sampled_from(SCHEDULES))
    stages = draw(st.integers(1 if schedule == "1f1b" else 2, most_stages))
    chunks = draw(st.integers(2, 4)) if schedule == "interleaved" else 1
    micro_batches = draw(st.integers(1, 3 * stages + 2))
    if schedule == "dualpipe":
        stages = 2 * -(-stages // 2)
        micro_batches = 2 * (stages + draw(st.integers(0, stages)))
    if schedule == "dualpipev":
        micro_batches += 2 * stages
    return Pipeline(schedule, stages, chunks, micro_batches)


@st.composite
def works(draw):
    """f, b, w and the overlapped pair as kernels have them: no weight gradient longer than its input gradient."""
    f, b = draw(seconds), draw(seconds)
    w = draw(st.floats(0.05, 1.0)) * b
    both = draw(st.floats(0.0, 1.0))
    low = max(f, b + w)
    return Passes(f, b, w, low + both * (f + b + w - low))


def busy(events, stage, *kinds):
    """Seconds that a stage spends on kinds of work, on all of them where none is named."""
    return sum(one.end - one.start for one in events if one.stage == stage and (not kinds or one.kind in kinds))


def total(events):
    """Seconds from the first forward's start to the last gradient's end."""
    return max(event.end for event in events)


def in_flight(work):
    """The most activations held at once, from the start of a forward until its gradient of the weights is there. An
    overlapped pair holds both: the forward makes its own meanwhile."""
    held = most = 0
    for item in work:
        held += item.kind in ("F", "FB")
        most = max(most, held)
        held -= item.kind in ("W", "BW", "FB")
    return most


@given(pipelines(), works())
@settings(max_examples=80, deadline=None)
def test_dependencies_hold_and_no_stage_does_two_things_at_once(pipeline, work):
    schedule, stages, chunks, micro_batches = pipeline
    events = simulate(pipeline, work)
    lists = schedules.orders(*pipeline)
    parts = schedules.positions(schedule, stages, chunks)
    forward, backward, weight = {}, {}, {}
    for stage in range(stages):
        mine = [event for event in events if event.stage == stage]
        for event, later in pairwise(mine):
            assert later.start >= event.end - 1e-9
        for event, item in zip(mine, lists[stage], strict=True):
            part = schedules.position(schedule, stages, stage, item.chunk)
            if item.kind in ("F", "FB"):
                forward[item.micro_batch, part] = (event.start, event.end)
            if item.kind in ("B", "BW"):
                backward[item.micro_batch, part] = (event.start, event.end)
            if item.kind == "FB":
                other = schedules.position(schedule, stages, stage, item.other_chunk)
                backward[item.other_micro_batch, other] = (event.start, event.end)
            if item.kind == "W":
                assert event.start >= backward[item.micro_batch, part][1] - 1e-9
                weight[item.micro_batch, part] = event.end
    # every micro-batch went forward and backward through every part, once
    assert len(forward) == len(backward) == parts * micro_batches
    for (micro_batch, part), (start, end) in forward.items():
        if part:
            assert start >= forward[micro_batch, part - 1][1] - 1e-9
        assert backward[micro_batch, part][0] >= (end if part == parts - 1 else 0.0) - 1e-9
        if part < parts - 1:
            assert backward[micro_batch, part][0] >= backward[micro_batch, part + 1][1] - 1e-9


@given(pipelines())
@settings(max_examples=60, deadline=None)
def test_all_work_is_done_once(pipeline):
    schedule, _, chunks, micro_batches = pipeline
    each = schedules.path_chunks(schedule, chunks)
    for work in schedules.orders(*pipeline):
        counts = Counter(item.kind for item in work)
        assert counts["F"] + counts["FB"] == micro_batches * each
        assert counts["B"] + counts["BW"] + counts["FB"] == micro_batches * each
        assert counts["B"] == counts["W"]


@given(pipelines(), works())
@settings(max_examples=200, deadline=None)
def test_closed_forms_equal_the_simulation(pipeline, work):
    schedule, stages, _, _ = pipeline
    events, closed = simulate(pipeline, work), phases(pipeline, work)
    idle = [total(events) - busy(events, stage) for stage in range(stages)]
    assert closed.total == pytest.approx(total(events))
    assert closed.bubble == pytest.approx(sum(idle) / stages, abs=1e-9)
    kinds = {"forward_1f": ("F",), "backward_1b": ("B", "BW"), "weight_1w": ("W",), "steady_1f1b": ("FB",)}
    if schedule in ("dualpipe", "dualpipev"):
        for name, of in kinds.items():
            spent = sum(busy(events, stage, *of) for stage in range(stages))
            assert getattr(closed, name) == pytest.approx(spent / stages)
    else:  # in turn: a steady state is as many forwards as backwards, and the ramps have the rest
        assert closed.steady_1f1b + closed.forward_1f >= work.forward
        assert closed.weight_1w == 0.0 or schedule == "zb"


@given(pipelines(4), works(), st.data())
@settings(max_examples=80, deadline=None)
def test_uneven_stages_cost_what_the_slowest_costs(pipeline, work, data):
    schedule, stages, chunks, micro_batches = pipeline
    assume(micro_batches >= 3 * stages)
    parts = schedules.positions(schedule, stages, chunks)
    weights = data.draw(st.lists(st.floats(0.85, 1.15), min_size=parts, max_size=parts))
    weights = [weight * parts / sum(weights) for weight in weights]
    held = range({"dualpipe": 2}.get(schedule, schedules.path_chunks(schedule, chunks)))
    slowest = max(
        sum(weights[schedules.position(schedule, stages, stage, chunk)] for chunk in held) / len(held)
        for stage in range(stages)
    )
    closed = phases(pipeline, work, slowest)
    assert closed.total == pytest.approx(total(simulate(pipeline, work, weights)), rel=0.08)


@pytest.mark.parametrize("stages", [2, 4, 8])
def test_activations_in_flight_as_published(stages):
    def peaks(schedule, chunks, micro_batches):
        return tuple(map(in_flight, schedules.orders(schedule, stages, chunks, micro_batches)))

    # 1F1B: pp on the first stage, one less on each that follows (arXiv 2104.04473)
    assert peaks("1f1b", 1, 4 * stages) == tuple(range(stages, 0, -1))
    # interleaved: 1 + (pp - 1) / (pp v) times 1F1B's, in chunks of 1 / v of a stage (arXiv 2205.05198, section 4.2.3)
    assert peaks("interleaved", 2, 4 * stages)[0] == 2 * stages + stages - 1
    # ZB-H1: pp on every stage (arXiv 2401.10241, table 2)
    assert set(peaks("zb", 1, 4 * stages)) == {stages}
    # DualPipe: PP + 1 on every stage (V3 report, table 2); DualPipeV: as many of its PP = 2 x stages parts
    assert set(peaks("dualpipe", 1, 4 * stages)) == {stages + 1}
    assert set(peaks("dualpipev", 1, 4 * stages)) == {2 * stages + 1}


def test_bubbles_as_published():
    f, b, w, both, pp, m = 1.0, 1.5, 0.6, 2.4, 8, 32
    whole, one = b + w, Passes(f, b, w)
    assert phases(Pipeline("1f1b", pp, 1, m), one).bubble == pytest.approx((pp - 1) * (f + whole))
    assert phases(Pipeline("zb", pp, 1, m), one).bubble == pytest.approx((pp - 1) * (f + whole - 2 * w))
    # interleaved, in chunk times: 1 / v of 1F1B's
    assert phases(Pipeline("interleaved", pp, 4, m), one.cut(4)).bubble == pytest.approx((pp - 1) * (f + whole) / 4)
    # V3 report, table 2: (PP/2 - 1)(F&B + B - 3W) is the middle stage's, which leaves its first pair alone; without
    # that pair's overlap one forward less is waited for
    events = simulate(Pipeline("dualpipe", pp, 1, m), Passes(f, b, w, both))
    middle = total(events) - busy(events, pp // 2)
    assert middle + f == pytest.approx((pp / 2 - 1) * (both + whole - 3 * w))


def test_deepseek_v3s_step_adds_up():
    """Table 4 of arXiv 2505.09343, V3 on 2,048 H800: PP 16 and 120 micro-batches a replica.

    Its seconds of 1F, 1B, 1W and 1F1B, divided by how often the mean stage does each, give f, b, w and F&B; the stages'
    unevenness is what 61 layers, an MTP module and two passes of the head leave in 16 parts, by their FLOPs. Bubble and
    total then follow and were not put in.
    """
    lists = schedules.orders("dualpipe", 16, 1, 120)
    count = Counter(item.kind for work in lists for item in work)
    each = {kind: n / 16 for kind, n in count.items()}
    f, w, both = 1.13 / each["F"], 0.48 / each["W"], 13.95 / each["FB"]
    b = (1.99 - each["BW"] * w) / (each["B"] + each["BW"])
    assert w < f < both - f
    assert w < b
    arch = architecture("deepseek-v3")
    mixture = arch.blocks[-1]
    layer = sum(gemm.flops for gemm in gemms(mixture, arch)) + attention_flops(mixture.mixer, 4096)
    head = 2 * arch.hidden * arch.vocab
    tail = (head + count_architecture(arch, 4096).mtp_forward_flops_per_token) / layer
    uneven = slowest((1.0,) * 61 + (tail,), "dualpipe", 16, 1)
    found = phases(Pipeline("dualpipe", 16, 1, 120), Passes(f, b, w, both), uneven)
    assert found.forward_1f == pytest.approx(1.13)
    assert found.backward_1b == pytest.approx(1.99)
    assert found.weight_1w == pytest.approx(0.48)
    assert found.steady_1f1b == pytest.approx(13.95)
    assert found.bubble == pytest.approx(2.06, rel=0.1)
    assert found.total + 0.29 == pytest.approx(19.926, rel=0.015)


@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=9), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_the_cut_is_the_best_one(costs, parts):
    sums = split(costs, parts)
    assert len(sums) == parts
    assert sum(sums) == pytest.approx(sum(costs))
    cuts = combinations_with_replacement(range(len(costs) + 1), parts - 1)
    best = min(max(sum(costs[i:j]) for i, j in pairwise((0, *cut, len(costs)))) for cut in cuts)
    assert max(sums) == pytest.approx(best, rel=1e-5)


def test_even_layers_leave_nobody_waiting():
    assert slowest((1.0,) * 32, "1f1b", 8, 1) == 1.0
    assert slowest((1.0,) * 33, "1f1b", 8, 1) == pytest.approx(5 * 8 / 33)
    assert slowest((1.0,) * 32, "interleaved", 4, 4) == 1.0


def test_phases_of_a_layout_take_the_whole_stage():
    plain = layout_phases(Layout(8, pp=1), 10, Passes(1.0, 1.0, 1.0))
    assert (plain.total, plain.bubble) == (30.0, 0.0)
    one = layout_phases(Layout(8, pp=4), 16, Passes(1.0, 1.0, 1.0))
    four = layout_phases(Layout(8, pp=4, vp=4, schedule="interleaved"), 16, Passes(1.0, 1.0, 1.0))
    assert four.bubble == pytest.approx(one.bubble / 4)


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved", "zb", "dualpipe", "dualpipev"])
@pytest.mark.parametrize("slowest", [1.0, 1.3])
def test_the_seconds_alone_are_those_of_the_phases(schedule, slowest):
    """What a search asks of thousands of layouts, of the whole model's passes, is the total of what it shows of two."""
    passes = Passes(1.0, 1.2, 0.7, 2.5 if schedule in BIDIRECTIONAL else None)
    vp = 3 if schedule == "interleaved" else 1
    for pp, micro_batches in ((2, 4), (4, 8), (6, 40), (1, 5) if schedule == "1f1b" else (4, 10)):
        shown = layout_phases(Layout(8, pp=pp, vp=vp, schedule=schedule), micro_batches, passes.cut(pp), slowest)
        seconds = whole_seconds(Pipeline(schedule, pp, vp, micro_batches), passes, slowest)
        assert seconds == pytest.approx(shown.total, rel=1e-12)


@pytest.mark.parametrize(
    ("pipeline", "word"),
    [
        (("dualpipe", 3, 1, 12), "even pp"),
        (("dualpipe", 4, 1, 9), "even number"),
        (("dualpipe", 4, 1, 6), "at least 2 pp"),
        (("dualpipev", 4, 1, 7), "at least 2 pp"),
        (("1f1b", 4, 2, 8), "vp=2"),
    ],
)
def test_schedules_that_do_not_exist(pipeline, word):
    with pytest.raises(UserError, match=word):
        simulate(Pipeline(*pipeline), Passes(1, 1, 1))
    with pytest.raises(UserError, match=word):
        phases(Pipeline(*pipeline), Passes(1, 1, 1))


@pytest.mark.parametrize("micro_batches", [4, 60, 512])
def test_two_stages_that_always_work_have_no_bubble(micro_batches: int) -> None:
    """What a difference of sums leaves is no time."""
    for seconds in (0.1, 1.7, 0.003):
        passes = Passes(seconds, seconds * 1.3, seconds * 0.7, seconds * 2.1)
        found = phases(Pipeline("dualpipe", 2, 1, micro_batches), passes)
        assert found.bubble == 0.0 or found.bubble > 1e-6 * found.total
