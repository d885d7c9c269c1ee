"""What a task's documents scored, over one pass or several, with intervals; and two models' scores of the same ones.

A pass answers every document once. Passes differ in their draws, so documents have a score of each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NORMAL_95 = 1.959963984540054  # two-sided 95 % point of the standard normal distribution


@dataclass(frozen=True)
class Document:
    """One document: its score in each pass (1 right, 0 wrong, or between), and what was answered, where text was."""

    scores: tuple[float, ...]
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task, behind one filter of the harness. value: the mean where documents have no scores of their
    own (perplexities), else None. documents: by the harness's hash of their text."""

    task: str
    filter: str
    metric: str
    documents: Mapping[str, Document]
    value: float | None = None
    higher_is_better: bool = True

    @property
    def name(self) -> str:
        """As a line of a table is called."""
        return f"{self.task}, {self.metric}" + ("" if self.filter == "none" else f", {self.filter}")

    @property
    def passes(self) -> int:
        return max((len(document.scores) for document in self.documents.values()), default=1)

    @property
    def mean(self) -> float:
        """The mean of all documents and passes: over passes that were sampled, R1's pass@1 (R1 report, section 3)."""
        if self.value is not None:
            return self.value
        return _mean([_mean(document.scores) for document in self.documents.values()])

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, from how far documents' own means lie apart: other documents and other draws
        both move these. Of documents that are right or wrong, Wilson's, which has a width where all are either. None
        of a single document, and where documents have no scores."""
        means = [_mean(document.scores) for document in self.documents.values()]
        if self.value is not None or (half := _half_width(means)) is None:
            return None
        if all(mean in (0.0, 1.0) for mean in means):
            return _wilson(self.mean, len(means))
        return max(0.0, self.mean - half) if min(means) >= 0 else self.mean - half, self.mean + half

    def pass_at(self, k: int) -> float:
        """How often one of k answers is right: 1 - C(n - c, k) / C(n, k) of a document with c of n right, the estimator
        of arXiv 2107.03374, eq. 1. A score counts as right where it is 1."""
        return _mean([_pass_at(len(d.scores), sum(s >= 1 for s in d.scores), k) for d in self.documents.values()])

    @property
    def majority(self) -> float:
        """How often the commonest answer is right (R1's cons@n); of equally common ones, the one that came first."""
        return _mean([_of_majority(document) for document in self.documents.values()])


@dataclass(frozen=True)
class PairedDifference:
    """One model's mean less another's on the documents that both have, with half of its 95 % interval."""

    first: float
    second: float
    documents: int
    half_width: float | None

    @property
    def difference(self) -> float:
        return self.first - self.second

    @property
    def is_certain(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.half_width is not None and abs(self.difference) > self.half_width


def difference(first: TaskScore, second: TaskScore) -> PairedDifference | None:
    """Paired by document, which takes out how hard each is. None where they share none."""
    both = [key for key in first.documents if key in second.documents]
    if not both:
        return None
    pairs = [(_mean(first.documents[key].scores), _mean(second.documents[key].scores)) for key in both]
    apart = [a - b for a, b in pairs]
    return PairedDifference(_mean([a for a, _ in pairs]), _mean([b for _, b in pairs]), len(both), _half_width(apart))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else math.nan


def _half_width(numbers: Sequence[float]) -> float | None:
    if len(numbers) < 2:
        return None
    mean = _mean(numbers)
    variance = sum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1)
    return NORMAL_95 * math.sqrt(variance / len(numbers))


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The interval of a share of so many (Wilson 1927): shares that lie within its own 95 % of what was seen."""
    z2 = NORMAL_95**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count)) / (1 + z2)
    return max(0.0, middle - half), min(1.0, middle + half)


def _pass_at(answers: int, right: int, k: int) -> float:
    return 1.0 - math.comb(answers - right, k) / math.comb(answers, k)


def _of_majority(document: Document) -> float:
    if not document.answers:
        return _mean(document.scores)
    commonest = Counter(document.answers).most_common(1)[0][0]
    return document.scores[document.answers.index(commonest)]
