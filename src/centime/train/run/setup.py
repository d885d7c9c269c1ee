"""All that can be checked before a device is used: a resolved recipe with its data, device, price and stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from centime import recipe as recipes
from centime.catalogue.hf import family_of
from centime.catalogue.machine import MachineProfile, read_profile
from centime.catalogue.prices import price_for
from centime.data.loader import ORDER
from centime.ledger.device import this_device
from centime.ops.precision import compute_dtype
from centime.recipe import Pretrain, Recipe
from centime.train.engine import device_of, ranks
from centime.train.folder import (
    Checkpoints,
    Origin,
    RunFolder,
    find_origin,
    info_of,
    order_of,
    require_adaptable,
    require_same_shapes,
    resolved,
    step_of,
    tokenizer_for,
)
from centime.train.forecast import (
    Budget,
    default_micro_batch,
    effective_budget,
    fits,
    parse_budget,
    require_disk,
    require_fit,
    require_rows,
)
from centime.train.kinds import KINDS, StageKind
from centime.train.run.evaluation import require_held_out
from centime.train.stages import StagePlan, plan_stages, resolve, settle


class AlreadyFinished(Exception):
    """The run that was to go on has reached its end, and its model is there."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(
            f"{folder.path} is finished: nothing is left to do. Its model is in {folder.result}; "
            f"`centime bill {folder.path}` shows what it cost."
        )


class Setup:
    """One run, ready to begin or to go on."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        resume: bool,
        budget: str | None,
        price: str | None,
        kinds: Mapping[str, StageKind] = KINDS,
        settings: Sequence[str] = (),
    ) -> None:
        """kinds: what each stage's kind means. settings: the --set that `recipe` was read with.

        Raises AlreadyFinished, and UserError on a folder in use, missing data, no price, another tokenizer, too little
        memory, a model that no published family computes, weights to start from that are none.
        """
        self.ranks = ranks()
        self.console = Console(stderr=True, highlight=False, quiet=self.ranks.rank > 0)
        self.folder = RunFolder(folder)
        self.kinds = kinds
        first = recipe.stages[0][1]
        self.open_ended = isinstance(first, Pretrain) and first.tokens is None
        self.origin = self._origin(recipe) if recipe.start is not None else None
        self.tokenizer = tokenizer_for(recipe.data.tokenizer, self.origin)
        self.recipe = resolve(recipe, self.tokenizer, self.origin.config if self.origin else None)
        self.recipe = settle(self.recipe, self.tokenizer, kinds)
        if self.origin is not None:
            require_same_shapes(self.origin, self.recipe, recipe.model.model_fields_set)
        if self.recipe.lora is not None and self.origin is not None:
            require_adaptable(self.origin, self.recipe, self.ranks.world)
        family_of(self.recipe.model)  # a model that no family computes could not be saved at the end
        self.changed = self.folder.check(self.recipe, resume, settings)
        self.resuming = self.folder.begun
        self.device = device_of(self.ranks)
        self.dtype = compute_dtype(recipe.run.precision, self.device)
        self.metered = this_device("gpu" if self.device.type == "cuda" else "cpu")
        self.profile = self._profile()
        self.price = price_for(self.metered, price)
        info = info_of(self.folder, len(recipe.stages), self.say) if self.resuming else {}
        if info.get("finished") is True and self.folder.finished:
            raise AlreadyFinished(self.folder)
        self.changes: list[dict[str, Any]] = [*info.get("changed", []), *self._changes_now()]
        self.order = order_of(self.folder) if self.resuming else ORDER
        stated = effective_budget(budget) or info.get("budget")
        self.budget_text: str | None = stated
        self.budget: Budget | None = parse_budget(stated) if stated else None
        self.allowed_seconds = self.budget.seconds(self.price, self.ranks.world) if self.budget else float("inf")
        tokens_only = self.budget is not None and self.budget.kind == "tokens"
        self.allowed_tokens = self.budget.amount if self.budget and tokens_only else float("inf")
        self.factors: list[float] | None = info.get("fitted")
        self.stages: list[StagePlan] = []
        self.stages = self.plan(self.factors)
        require_held_out(self.recipe, self.stages, self.tokenizer)
        for stage in self.stages:
            require_rows(int(stage.schedule.rows.max()), stage.stage.sequence_length, self.ranks.world)
        self.micro_batches = [self._micro_batch(stage) for stage in self.stages]
        for stage, micro in zip(self.stages, self.micro_batches, strict=True):
            length = stage.stage.sequence_length
            require_fit(self.recipe, stage.config, length, micro, self.device, self.dtype, self.ranks.world)
        if self.ranks.rank == 0:
            existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
            require_disk(existing, self.recipe.model, recipe.run.keep, recipe.lora)

    def say(self, text: str) -> None:
        """Prints a sentence on the first rank's terminal."""
        self.console.print(text, markup=False)

    def _profile(self) -> MachineProfile | None:
        """What `centime calibrate` found out about this very device; None on several, which it does not describe."""
        profile = read_profile() if self.ranks.world == 1 else None
        dtype = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return profile if profile and fits(profile, self.metered, torch.get_num_threads(), dtype) else None

    def plan(self, factors: list[float] | None) -> list[StagePlan]:
        """The stages, each of its factor times the tokens that the recipe states."""
        return plan_stages(self.recipe, self.tokenizer, self.kinds, factors, self.order, self.stages)

    def _changes_now(self) -> list[dict[str, Any]]:
        """What this resume changes, as run.json keeps it: from which step of the run on, and which key."""
        newest = Checkpoints.newest(self.folder.checkpoints)
        step = step_of(newest) if newest else 0
        return [{"after_step": step, "key": c.key, "before": c.before, "after": c.after} for c in self.changed]

    def _origin(self, recipe: Recipe) -> Origin:
        """What the run starts from; of one that goes on from a checkpoint, as its own recipe knows it."""
        assert recipe.start is not None
        if recipe.lora is not None:  # the weights are needed as long as the run is
            return find_origin(recipe.start, frozen=True)
        own = recipes.read(self.folder.recipe) if self.folder.begun else None
        kept = Checkpoints.newest(self.folder.checkpoints) is not None
        if own is None or not (kept and resolved(own)) or own.start != recipe.start:
            return find_origin(recipe.start)
        assert own.data.tokenizer is not None
        return Origin(str(own.start), own.model, own.data.tokenizer, dict, f"the weights of {own.start}")

    def _micro_batch(self, plan: StagePlan) -> int:
        largest = -(-int(plan.schedule.rows.max()) // self.ranks.world)
        recompute = self.recipe.run.activation_checkpointing
        length = plan.stage.sequence_length
        default = default_micro_batch(plan.config, length, largest, self.device, self.dtype, recompute)
        return min(self.recipe.run.micro_batch or default, largest)
