"""The order in which every pipeline stage works: 1F1B, interleaved, zero-bubble, DualPipe, DualPipeV.

A micro-batch visits `positions` parts of the model, first to last in the forward, last to first in the backward. A
stage (one chip, or one group of them) holds one or two or `chunks` of these parts; which ones is `position`. All
schedules here are static: each stage works through its own list and waits only for its next item, so that the order is
the schedule.

Sources: 1F1B is PipeDream-flush (arXiv 2104.04473, section 2.2); interleaved is the same paper's section 2.2.2;
zero-bubble is ZB-H1 (arXiv 2401.10241, section 2.1); DualPipe is section 3.2.1 of the V3 report (arXiv 2412.19437), and
its cut in half, DualPipeV, is described in the notes of deepseek-ai/DualPipe.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from centime.errors import UserError
from centime.plan.step.layout import Schedule, schedule_objections

Kind = Literal["F", "B", "W", "BW", "FB"]


class ScheduleItem(NamedTuple):
    """One item of a stage's list.

    F forward, B gradient of the input, W gradient of the weights, BW both gradients in one go, FB the forward of
    `micro_batch` overlapped with the whole backward of `other_micro_batch`.
    """

    kind: Kind
    chunk: int
    micro_batch: int
    other_chunk: int = 0
    other_micro_batch: int = 0


def positions(schedule: Schedule, stages: int, chunks: int) -> int:
    """Parts into which the schedule cuts the model."""
    return stages * path_chunks(schedule, chunks)


def path_chunks(schedule: Schedule, chunks: int) -> int:
    """How often a micro-batch visits the same stage in one forward."""
    return {"interleaved": chunks, "dualpipev": 2}.get(schedule, 1)


def position(schedule: Schedule, stages: int, stage: int, chunk: int) -> int:
    """Which part of the model the stage's chunk is."""
    if schedule == "dualpipe":  # two copies of the model, run through in opposite directions
        return stage if chunk == 0 else stages - 1 - stage
    if schedule == "dualpipev":  # down the stages and up again
        return stage if chunk == 0 else 2 * stages - 1 - stage
    return chunk * stages + stage


def check(schedule: Schedule, stages: int, chunks: int, micro_batches: int) -> None:
    """Raise UserError where the schedule does not exist for such a pipeline."""
    for reason in schedule_objections(schedule, stages, chunks, micro_batches):
        raise UserError(reason)


def orders(schedule: Schedule, stages: int, chunks: int, micro_batches: int) -> list[list[ScheduleItem]]:
    """Every stage's list of work. `chunks` counts for interleaved alone. Raises UserError as `check` does."""
    check(schedule, stages, chunks, micro_batches)
    if schedule == "1f1b":
        return [_one_forward_one_backward(stages - stage - 1, micro_batches) for stage in range(stages)]
    if schedule == "interleaved":
        return [_interleaved(stages, stage, chunks, micro_batches) for stage in range(stages)]
    if schedule == "zb":
        return [_zero_bubble(stages, stage, micro_batches) for stage in range(stages)]
    if schedule == "dualpipev":
        return [_bidirectional(stages, stage, micro_batches, (0, 0)) for stage in range(stages)]
    half = stages // 2
    lists = []
    for stage in range(stages):
        near = min(stage, stages - 1 - stage)  # distance from the nearer end
        # A stage calls 0 what comes from its nearer end: those micro-batches come first through it.
        first = (0, micro_batches // 2) if stage < half else (micro_batches // 2, 0)
        work = _bidirectional(half, near, micro_batches // 2, first)
        lists.append(work if stage < half else [_swap(item) for item in work])
    return lists


def _swap(item: ScheduleItem) -> ScheduleItem:
    return item._replace(chunk=1 - item.chunk, other_chunk=1 - item.other_chunk)


def _one_forward_one_backward(ahead: int, micro_batches: int) -> list[ScheduleItem]:
    warm = min(ahead, micro_batches)
    work = [ScheduleItem("F", 0, i) for i in range(warm)]
    for i in range(micro_batches - warm):
        work += (ScheduleItem("F", 0, warm + i), ScheduleItem("BW", 0, i))
    return work + [ScheduleItem("BW", 0, i) for i in range(micro_batches - warm, micro_batches)]


def _interleaved(stages: int, stage: int, chunks: int, micro_batches: int) -> list[ScheduleItem]:
    """Groups of micro-batches go through chunk 0, then chunk 1, ...; the backward in the reverse order.

    A group has `stages` micro-batches, the last one also what is left over: a smaller one would wait for itself.
    """
    starts = list(range(0, max(1, micro_batches - stages + 1), stages))
    groups = [range(start, end) for start, end in zip(starts, [*starts[1:], micro_batches], strict=True)]
    forward = [(chunk, i) for group in groups for chunk in range(chunks) for i in group]
    backward = [(chunk, i) for group in groups for chunk in reversed(range(chunks)) for i in group]
    warm = min(2 * (stages - stage - 1) + (chunks - 1) * max(map(len, groups)), len(forward))
    work = [ScheduleItem("F", *item) for item in forward[:warm]]
    for i in range(len(forward) - warm):
        work += (ScheduleItem("F", *forward[warm + i]), ScheduleItem("BW", *backward[i]))
    return work + [ScheduleItem("BW", *item) for item in backward[len(forward) - warm :]]


def _zero_bubble(stages: int, stage: int, micro_batches: int) -> list[ScheduleItem]:
    """ZB-H1: 1F1B whose stage s puts off the weight gradients by s micro-batches; as many in flight on every stage."""
    warm = min(stages - stage, micro_batches)
    work = [ScheduleItem("F", 0, i) for i in range(warm)]
    for i in range(micro_batches):
        work.append(ScheduleItem("B", 0, i))
        if i >= stage:
            work.append(ScheduleItem("W", 0, i - stage))
        if warm + i < micro_batches:
            work.append(ScheduleItem("F", 0, warm + i))
    return work + [ScheduleItem("W", 0, i) for i in range(max(0, micro_batches - stage), micro_batches)]


class _Turns:
    """Hands out the next micro-batch of every chunk, and the oldest weight gradient put off."""

    def __init__(self, first: tuple[int, int]) -> None:
        self.forward = list(first)
        self.backward = list(first)
        self.owed: list[tuple[int, int]] = []
        self.work: list[ScheduleItem] = []

    def f(self, chunk: int) -> None:
        self.work.append(ScheduleItem("F", chunk, self.forward[chunk]))
        self.forward[chunk] += 1

    def b(self, chunk: int, put_off_weights: bool = False) -> None:
        self.work.append(ScheduleItem("B" if put_off_weights else "BW", chunk, self.backward[chunk]))
        if put_off_weights:
            self.owed.append((chunk, self.backward[chunk]))
        self.backward[chunk] += 1

    def w(self) -> None:
        self.work.append(ScheduleItem("W", *self.owed.pop(0)))

    def fb(self, chunk: int) -> None:
        """The forward of one chunk overlapped with the backward of the other."""
        other = 1 - chunk
        self.work.append(ScheduleItem("FB", chunk, self.forward[chunk], other, self.backward[other]))
        self.forward[chunk] += 1
        self.backward[other] += 1


def _bidirectional(half: int, near: int, micro_batches: int, first: tuple[int, int]) -> list[ScheduleItem]:
    """DualPipe's eight steps on the stage `near` places from its end, `half` of them to the middle.

    micro_batches: of each direction (DualPipe) or of each leg (DualPipeV). first: the first of either.
    """
    turns = _Turns(first)
    rest = half - near - 1
    for _ in range(2 * rest):  # 1: forwards from the nearer end
        turns.f(0)
    for _ in range(near + 1):  # 2: from both ends
        turns.f(0)
        turns.f(1)
    for _ in range(rest):  # 3: the first backwards, their weight gradients filling the wait
        turns.b(1, put_off_weights=True)
        turns.w()
        turns.f(1)
    for i in range(micro_batches - 2 * half + near + 1):  # 4: the steady state, everything overlapped
        if i == 0 and rest == 0:  # in the middle, in turn: the others wait less for it
            turns.f(0)
            turns.b(1)
        else:
            turns.fb(0)
        turns.fb(1)
    for _ in range(rest):  # 5: nothing new from the nearer end
        turns.b(1)
        turns.fb(1)
    for i in range(near + 1):  # 6: backwards from both ends; the second half of them put off their weight gradients
        turns.b(1, put_off_weights=2 * i >= near + 1)
        turns.b(0, put_off_weights=2 * i + 1 >= near + 1)
    for _ in range(rest):  # 7: backwards of the nearer end, weight gradients between them
        turns.w()
        turns.b(0, put_off_weights=True)
    while turns.owed:  # 8: the weight gradients left
        turns.w()
    return turns.work
