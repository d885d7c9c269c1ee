"""All that can be checked before a device is used: a resolved recipe with its data, device, price and stages."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from centime.catalogue.hf import family_of
from centime.catalogue.machine import MachineProfile, read_profile
from centime.catalogue.prices import price_for
from centime.data.loader import ORDER
from centime.data.tokenizers import load_tokenizer
from centime.ledger.device import this_device
from centime.ops.precision import compute_dtype
from centime.recipe import Recipe
from centime.train.engine import device_of, ranks
from centime.train.folder import RunFolder, info_of, order_of
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
from centime.train.run.evaluation import require_held_out
from centime.train.stages import PairRows, StagePlan, plan_stages, resolve


class AlreadyFinished(Exception):
    """The run that was to go on has reached its end, and its model is there."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(
            f"{folder.path} is finished: nothing is left to do. Its model is in {folder.model}; "
            f"`centime bill {folder.path}` shows what it cost."
        )


class Setup:
    """One run, ready to begin or to go on."""

    def __init__(self, recipe: Recipe, folder: Path, resume: bool, budget: str | None, price: str | None) -> None:
        """Raises Finished, and UserError on a folder in use, missing data, no price, another tokenizer, too little
        memory, a model that no published family computes."""
        self.ranks = ranks()
        self.console = Console(stderr=True, highlight=False, quiet=self.ranks.rank > 0)
        self.folder = RunFolder(folder)
        self.tokenizer = load_tokenizer(recipe.data.tokenizer)
        self.open_ended = recipe.train.tokens is None
        self.recipe = resolve(recipe, self.tokenizer)
        family_of(self.recipe.model)  # a model that no family computes could not be saved at the end
        self.folder.check(self.recipe, resume)
        self.resuming = self.folder.begun
        self.device = device_of(self.ranks)
        self.dtype = compute_dtype(recipe.run.precision, self.device)
        self.metered = this_device("gpu" if self.device.type == "cuda" else "cpu")
        self.profile = self._profile()
        self.price = price_for(self.metered, price)
        several = 1 + len(recipe.context) + (recipe.sft is not None)
        info = info_of(self.folder, several, self.say) if self.resuming else {}
        if info.get("finished") is True and self.folder.model.joinpath("config.json").exists():
            raise AlreadyFinished(self.folder)
        self.order = order_of(self.folder) if self.resuming else ORDER
        stated = effective_budget(budget) or info.get("budget")
        self.budget_text: str | None = stated
        self.budget: Budget | None = parse_budget(stated) if stated else None
        self.allowed_seconds = self.budget.seconds(self.price, self.ranks.world) if self.budget else float("inf")
        tokens_only = self.budget is not None and self.budget.kind == "tokens"
        self.allowed_tokens = self.budget.amount if self.budget and tokens_only else float("inf")
        self.factors: list[float] | None = info.get("fitted")
        self._pairs: PairRows | None = None
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
            require_disk(existing, self.recipe.model, recipe.run.keep)

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
        stages = plan_stages(self.recipe, self.tokenizer, factors, self.order, self._pairs)
        last = stages[-1].rows
        self._pairs = last if isinstance(last, PairRows) else None
        return stages

    def _micro_batch(self, plan: StagePlan) -> int:
        largest = -(-int(plan.schedule.rows.max()) // self.ranks.world)
        recompute = self.recipe.run.activation_checkpointing
        length = plan.stage.sequence_length
        default = default_micro_batch(plan.config, length, largest, self.device, self.dtype, recompute)
        return min(self.recipe.run.micro_batch or default, largest)
