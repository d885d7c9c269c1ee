"""What a model does with fresh problems, and how much of a gain is form and how much substance."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.r1.bench import Bench
from benchmarks.r1.machine import FRESH

from centime.model import Transformer

PROBLEMS = 200  # fresh ones, none of which was trained on or chosen by
LEAST = 4  # tokens from which an answer is more than its result: '=', a state, the end


@dataclass(frozen=True)
class Marks:
    """Shares of answers, or their mean length in tokens. right, length: of the likeliest answers; the others of answers
    drawn at temperature 1: how many are worked out, how many of these are right, and how many of the rest."""

    right: float
    length: float
    worked: float
    right_if_worked: float
    right_at_once: float

    @property
    def drawn_right(self) -> float:
        return self.worked * self.right_if_worked + (1 - self.worked) * self.right_at_once


def marks(bench: Bench, model: Transformer) -> Marks:
    """What it does with the fresh problems."""
    fresh = bench.machine.held_out(FRESH, PROBLEMS)
    sampler = bench.sampler(model, prompts=PROBLEMS, samples=2)
    likeliest = sampler.evaluate(fresh)
    answers = [one for group in bench.drawn(sampler, fresh, 0).groups for one in group.samples]
    worked = [one.grade.right for one in answers if len(one.tokens) >= LEAST]
    at_once = [one.grade.right for one in answers if len(one.tokens) < LEAST]
    return Marks(
        likeliest.mean("right"),
        likeliest.answer_tokens / PROBLEMS,
        len(worked) / len(answers),
        sum(worked) / max(1, len(worked)),
        sum(at_once) / max(1, len(at_once)),
    )


def split(before: Marks, after: Marks) -> tuple[float, float]:
    """(form, substance) of the gain among drawn answers: what the base would gain by working as often as the reinforced
    model does, each kind of answer being right as often as before; and the rest of it."""
    gain = after.drawn_right - before.drawn_right
    form = (after.worked - before.worked) * (before.right_if_worked - before.right_at_once)
    return form, gain - form
