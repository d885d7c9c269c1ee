"""What a model does with fresh problems, and how much of a gain is form and how much substance."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.r1.bench import Bench
from benchmarks.r1.machine import FRESH

from centime.model import Transformer

PROBLEMS = 200  # fresh ones, none of which was trained on or chosen by
LEAST = 4  # tokens from which an answer is more than its result: '=', the lamp, the end


@dataclass(frozen=True)
class Marks:
    """Shares of answers, or their mean length in tokens. exact: working and answer are right; right: the answer is. Of
    the likeliest answers, the others of answers drawn at temperature 1: how many are worked out, how many of these are
    exact, and how many of all have a right answer, of which part is luck."""

    exact: float
    right: float
    length: float
    worked: float
    exact_if_worked: float
    drawn_right: float

    @property
    def drawn_exact(self) -> float:
        return self.worked * self.exact_if_worked


def marks(bench: Bench, model: Transformer) -> Marks:
    """What it does with the fresh problems."""
    fresh = bench.machine.held_out(FRESH, PROBLEMS)
    sampler = bench.sampler(model, prompts=PROBLEMS, samples=2)
    likeliest, drawn = sampler.evaluate(fresh), bench.drawn(sampler, fresh, 0)

    def exact(at: int, found: str) -> bool:
        return found == fresh[at].row["solution"]

    first = [exact(at, sampler.text(group.samples[0])) for at, group in enumerate(likeliest.groups)]
    answers = [(at, one) for at, group in enumerate(drawn.groups) for one in group.samples]
    worked = [exact(at, sampler.text(one)) for at, one in answers if len(one.tokens) >= LEAST]
    return Marks(
        sum(first) / PROBLEMS,
        likeliest.mean("right"),
        likeliest.answer_tokens / PROBLEMS,
        len(worked) / len(answers),
        sum(worked) / max(1, len(worked)),
        drawn.mean("right"),
    )


def split(before: Marks, after: Marks) -> tuple[float, float]:
    """(form, substance) of the gain of exact ones among drawn answers: what the base would gain by working as often as
    the reinforced model does, its workings being right as often as before; and the rest of it."""
    form = (after.worked - before.worked) * before.exact_if_worked
    return form, after.drawn_exact - before.drawn_exact - form
