"""A model folder through tasks, on the meter: what it scored, and what that took and cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.prices import Price, price_for
from centime.evaluate.harness.kept import Results
from centime.evaluate.harness.run import Question, score_tasks
from centime.plan.counts import count
from centime.serve.engine.request import Usage
from centime.serve.loading import load_model, metered, name_of


@dataclass
class _Tally:
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class HowToRun:
    """Where a model is run: as `load_model` takes them, and what an hour costs (None: the catalogue's)."""

    device: str | None = None
    dtype: str | None = None
    price: str | None = None
    adapter: Path | None = None


def evaluate_folder(
    folder: Path, question: Question, machine: HowToRun, progress: Callable[[int], None] = lambda requests: None
) -> tuple[Results, Price | None]:
    """Its results, and the price they were metered at. progress: told how many requests are done.

    Raises UserError as `load_model` and `score_tasks` do.
    """
    opened = load_model(folder, machine.device, machine.dtype, machine.adapter)
    price = price_for(opened.device, machine.price)
    tally = _Tally()
    with metered("evaluate", opened, price) as meter:

        def told(usage: Usage) -> None:
            tally.requests += 1
            tally.prompt_tokens += usage.prompt_tokens
            tally.cached_tokens += usage.hit_tokens
            tally.output_tokens += usage.output_tokens
            computed = usage.miss_tokens + usage.output_tokens
            forward = count(opened.model.config, max(1, usage.prompt_tokens)).forward_flops_per_token
            meter.add(tokens=computed, flops=computed * forward)
            progress(tally.requests)

        scores = score_tasks(opened.model, opened.tokenizer, str(opened.folder), question, told)
        spent = meter.spent()
    took = {**vars(tally), **spent.as_json(), "device": str(opened.device)}
    return Results.now(name_of(opened), question.as_json(), scores, took), price
