"""Reinforcement as a kind of stage: what it asks, the loss, what it prepares, and what its roll-outs take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.plan.counts import count
from centime.recipe import Rl, StageSection
from centime.recipe.values import MOST_LENGTH
from centime.train.engine import SingleDevice, ranks
from centime.train.kinds import LiveStage, StageKind
from centime.train.stages import Rows, RowsAsked
from centime.tune.objective import PolicyObjective
from centime.tune.reference import copy_of, restore
from centime.tune.rewards import open_grader
from centime.tune.sampling import Sampler
from centime.tune.stage.journal import Journal
from centime.tune.stage.loop import Prepared, RlLoop
from centime.tune.stage.rows import AnswerRows
from centime.tune.stage.steps import Asking


class RlKind(StageKind):
    """As many steps as its section says; each draws `prompts` times `samples` answers and learns from their grades."""

    def __init__(self) -> None:
        self._tokenizer: Tokenizer | None = None  # of the run, once its rows were asked for
        self._prepared: Prepared | None = None  # of the stage that was begun last

    def settled(self, asked: RowsAsked) -> Rl:
        """Rows as long as the longest of some held-out prompts and an answer, where the recipe does not state it."""
        section, positions = asked.section, asked.recipe.model.max_position_embeddings
        assert isinstance(section, Rl)
        if "sequence_length" in section.model_fields_set:
            return section
        longest = AnswerRows(section.model_copy(update={"sequence_length": MOST_LENGTH}), asked.tokenizer, 0).longest
        if longest > positions:
            raise UserError(
                f"A prompt of {longest - section.max_tokens} tokens and an answer of rl.max_tokens = "
                f"{section.max_tokens} need more than the model's {positions} positions; lower rl.max_tokens, or "
                "extend the context first."
            )
        return section.model_copy(update={"sequence_length": longest})

    def rows(self, asked: RowsAsked) -> AnswerRows:
        section, recipe = asked.section, asked.recipe
        assert isinstance(section, Rl)
        if ranks().world > 1:
            raise UserError("Reinforcement runs in one process yet; start it without torchrun.")
        self._tokenizer = asked.tokenizer
        open_grader(section).rule.close()  # an unknown rule is said now
        earlier = [other for _, other in recipe.stages if isinstance(other, Rl)]
        number = next(i for i, other in enumerate(earlier) if other is section)
        return AnswerRows(section, asked.tokenizer, recipe.seed + number)

    def tokens(self, section: StageSection, rows: Rows) -> int:
        assert isinstance(section, Rl)
        return section.steps * section.batch_size * section.sequence_length

    def objective(self, model: Transformer, section: StageSection) -> PolicyObjective:
        assert isinstance(section, Rl)
        assert self._tokenizer is not None
        vocabulary = min(self._tokenizer.vocab_size, model.config.vocab_size)
        return PolicyObjective(model, section.loss, section.temperature, vocabulary)

    def begin(self, live: LiveStage) -> None:
        """Who is asked, and the reference: the policy as it is now, or as the checkpoint has kept it."""
        if live.timing:
            return
        objective, section = live.engine.objective, live.plan.stage
        assert isinstance(objective, PolicyObjective)
        assert isinstance(section, Rl)
        reference = None
        if section.loss.kl:
            reference = copy_of(objective.model)
            if live.step:
                restore(reference, _kept(live))
        asking = self._asking(live, section, objective, reference)
        self._prepared = Prepared(asking, Journal(live.folder / "drawn" / live.plan.name))

    def _asking(
        self, live: LiveStage, section: Rl, objective: PolicyObjective, reference: Transformer | None
    ) -> Asking:
        rows, engine, model = live.plan.rows, live.engine, objective.model
        assert isinstance(rows, AnswerRows)
        assert self._tokenizer is not None
        assert isinstance(engine, SingleDevice)
        grader = open_grader(section)
        counts = count(live.plan.config, round(rows.tokens_per_row))
        return Asking(
            section,
            rows.problems,
            rows.held_out,
            grader,
            Sampler(model, self._tokenizer, section, grader, rows.seed, deterministic=section.deterministic),
            objective,
            reference,
            counts.forward_flops_per_token,
            counts.train_flops_per_token,
            engine.settings.name == "muon",
            section.deterministic,
        )

    def own_loop(self) -> Callable[..., Any]:
        return partial(RlLoop, prepared=self._taken)

    def _taken(self) -> Prepared:
        assert self._prepared is not None
        return self._prepared

    def seconds_beside(self, live: LiveStage) -> Mapping[str, float]:
        """By the first step's roll-outs, drawn and graded once by the weights as they are now, and forgotten.

        An evaluation draws as fast as they do: an assumption, as its answers are of other problems, one each.
        """
        section, rows, suffix = live.plan.stage, live.plan.rows, live.plan.name.removeprefix("rl")
        assert isinstance(section, Rl)
        assert isinstance(rows, AnswerRows)
        assert self._tokenizer is not None
        grader, once = open_grader(section), section.model_copy(update={"redraws": 0})
        times = [time.perf_counter()]
        try:
            sampler = Sampler(live.engine.objective.model, self._tokenizer, once, grader, rows.seed)
            sampler.step(rows.problems, 0, 0, 0.0, lambda: times.append(time.perf_counter()))
        finally:
            grader.rule.close()
        times.append(time.perf_counter())
        drawn, graded = times[1] - times[0], times[2] - times[1]
        steps = live.plan.schedule.steps
        evaluations = 1 + steps // section.evaluate_every
        each = drawn * len(rows.held_out) / section.batch_size
        return {
            f"rollout{suffix}": drawn,
            f"reward{suffix}": graded,
            f"evaluate{suffix}": evaluations * each / steps,
        }


def _kept(live: LiveStage) -> dict[str, Any]:
    """The reference of the checkpoint that a stage goes on from. Raises UserError where it holds none."""
    found = {name.partition("/")[2]: tensor for name, tensor in live.beside.items() if name.startswith("reference/")}
    if not found:
        raise UserError(
            f"The checkpoint of {live.folder} holds no reference model, which the loss of {live.plan.name} is held to; "
            "put it back from a copy, or begin another run with --out."
        )
    return found
