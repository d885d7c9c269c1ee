"""The draws of a step: one pass over the logits of all requests that draw, and how likely what they drew was.

Letters of shapes: T tokens of a request, R rows that are drawn from, D the model's width, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.errors import UserError
from centime.serve.engine.draws.sampler import (
    Draw,
    drawn_log_probabilities,
    finite_rows,
    log_probabilities,
    sample,
)
from centime.serve.engine.generation import Generation
from centime.serve.engine.model_runner import ModelRunner
from centime.serve.engine.request import DeadEnd, TokenLogprob
from centime.serve.engine.scheduler import ScheduledWork

NOT_FINITE = (
    "the model's logits are not finite: the weights are damaged or overflow in this dtype; "
    "try --dtype float32, or another checkpoint."
)


@dataclass(slots=True)
class RequestPart:
    """One request's part of a step: what was drawn after its tokens, and how likely that was.

    step_ND: the states of all tokens that were computed together, of which its own begin at row `first`.
    """

    work: ScheduledWork
    step_ND: Tensor
    first: int
    drawn: Sequence[int] = ()  # as many as work.draws
    logprobs: Sequence[TokenLogprob] = ()  # of each one drawn, where the request asks for any
    drawn_logprobs: Sequence[float] = ()  # the same under what it was drawn from, where the request keeps a record

    @property
    def hidden_TD(self) -> Tensor:
        """The states of its own tokens."""
        return self.step_ND[self.first : self.first + self.work.span.count]

    @property
    def drawn_from(self) -> range:
        """The rows of its last tokens, each of which something is drawn after."""
        end = self.first + self.work.span.count
        return range(end - self.work.draws, end)

    @property
    def best(self) -> int | None:
        """How many of the likeliest tokens are told beside the one drawn; None where nothing is told."""
        request = self.work.generation.request
        return 0 if request.params.logprobs is None and request.record is not None else request.params.logprobs


Rows = list[tuple[RequestPart, slice]]  # parts of a step, and which of its rows are theirs


class Drawer:
    """Draws the next tokens of many requests from the logits of one model."""

    def __init__(self, runner: ModelRunner) -> None:
        self.runner = runner

    def draw(self, parts: Sequence[RequestPart]) -> Sequence[RequestPart]:
        """Fills in what each part draws. Raises UserError on logits that are no numbers, DeadEnd as a grammar does."""
        logits_RV = self.logits(_drawn_from(parts))
        rows = list[tuple[RequestPart, slice]]()
        draws = list[Draw]()
        for part in parts:
            first = len(draws)
            draws += [part.work.generation.draw(guesses) for guesses in range(part.work.draws)]
            rows.append((part, slice(first, len(draws))))
        scores_RV = _scores(rows, logits_RV)
        tokens = sample(scores_RV, draws).tolist()
        for part, own in rows:
            part.drawn = tokens[own]
        _tell(rows, logits_RV)
        _record(rows, scores_RV, draws)
        return parts

    def logits(self, hidden_RD: Tensor) -> Tensor:
        """float32 [R, V] on the CPU. Raises UserError where a row has no likeliest token."""
        logits_RV = self.runner.logits(hidden_RD).to("cpu", torch.float32)
        if not bool(finite_rows(logits_RV).all()):
            raise UserError(NOT_FINITE)
        return logits_RV


def _drawn_from(parts: Sequence[RequestPart]) -> Tensor:
    """The states [R, D] that tokens are drawn after, part by part."""
    step_ND = parts[0].step_ND
    if any(part.step_ND is not step_ND for part in parts):  # they were computed each by itself
        return torch.cat([part.step_ND[part.drawn_from.start : part.drawn_from.stop] for part in parts])
    return _rows(step_ND, [row for part in parts for row in part.drawn_from])


def _rows(every_ND: Tensor, chosen: Sequence[int]) -> Tensor:
    """The chosen rows, which ascend: the tensor itself where they are all."""
    return every_ND if len(chosen) == len(every_ND) else every_ND[chosen]


def _scores(rows: Rows, logits_RV: Tensor) -> Tensor:
    """The logits as penalties and grammars leave them; where nobody has any, the logits themselves."""
    changing = [(part.work.generation, own) for part, own in rows if _changes(part.work.generation)]
    scores_RV = logits_RV.clone() if changing else logits_RV
    for generation, own in changing:
        for row, scores_V in enumerate(scores_RV[own]):
            with generation.logits_processor.beside(generation.draft[:row]):
                generation.logits_processor.apply(scores_V)
        _hold(generation, scores_RV[own])
    return scores_RV


def _changes(generation: Generation) -> bool:
    return generation.logits_processor.changes or generation.request.constraint is not None


def _hold(generation: Generation, scores_RV: Tensor) -> None:
    """Leaves only what the grammar admits. A request with one has no drafts, and so one row."""
    constraint = generation.request.constraint
    if constraint is None:
        return
    V = scores_RV.shape[1]
    bits = torch.full((-(-V // 32),), -1, dtype=torch.int32)
    constraint.fill(bits)
    allowed = (bits[:, None] >> torch.arange(32, dtype=torch.int32) & 1).flatten()[:V].bool()
    scores_RV.masked_fill_(~allowed, float("-inf"))
    if not bool(finite_rows(scores_RV).all()):
        raise DeadEnd("the grammar that the answer is held to leads nowhere from here: no token may come next.")


def _tell(rows: Rows, logits_RV: Tensor) -> None:
    """Log-probabilities of what was drawn as the model has them, for the parts that ask."""
    for best in {part.best for part, _ in rows}:
        if best is None:
            continue
        alike = [(part, own) for part, own in rows if part.best == best]
        chosen = [row for _, own in alike for row in range(own.start, own.stop)]
        found = log_probabilities(_rows(logits_RV, chosen), [token for part, _ in alike for token in part.drawn], best)
        at = 0
        for part, _ in alike:
            part.logprobs = found[at : at + part.work.draws]
            at += part.work.draws


def _record(rows: Rows, scores_RV: Tensor, draws: Sequence[Draw]) -> None:
    """Log-probabilities of what was drawn under what it was drawn from, for the parts that keep a record."""
    other = list[tuple[RequestPart, slice]]()
    for part, own in rows:
        if part.work.generation.request.record is None:
            continue
        if _changes(part.work.generation) or not part.work.generation.request.params.is_plain:
            other.append((part, own))
        else:  # drawn from what the model says itself
            part.drawn_logprobs = [found.logprob for found in part.logprobs]
    if not other:
        return
    chosen = [row for _, own in other for row in range(own.start, own.stop)]
    tokens = [token for part, _ in other for token in part.drawn]
    logprobs = drawn_log_probabilities(_rows(scores_RV, chosen), tokens, [draws[row] for row in chosen])
    at = 0
    for part, _ in other:
        part.drawn_logprobs = logprobs[at : at + part.work.draws]
        at += part.work.draws
