"""All that can be checked before an answer is drawn: weights, tokenizer, problems, reward, price, budget."""

from __future__ import annotations

import torch
from rich.console import Console

from centime.catalogue.hf import model_folder
from centime.catalogue.prices import price_for
from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.ledger.device import this_device
from centime.model import Transformer
from centime.model.adapted.files import adapter_in
from centime.model.checkpoint import load
from centime.ops.precision import compute_dtype
from centime.plan.counts import count
from centime.recipe import Lora
from centime.recipe.reinforcement import ReinforcementRecipe
from centime.train.engine import AdaptedDevice, SingleDevice, device_of, frozen_model, ranks
from centime.train.folder.as_model import usable
from centime.train.forecast import parse_budget
from centime.tune.objective import PolicyObjective
from centime.tune.problems import open_problems
from centime.tune.reference import copy_of
from centime.tune.rewards import open_grader, require_answers
from centime.tune.run.steps import Asking
from centime.tune.sampling import Sampler


class TuningSetup:
    """One run of reinforcement, ready to begin or to go on."""

    def __init__(self, recipe: ReinforcementRecipe, budget: str | None, price: str | None) -> None:
        """Raises UserError on weights or a tokenizer that cannot be read, problems that do not fit, an unknown reward,
        a budget without a price, several processes."""
        if ranks().world > 1:
            raise UserError("Reinforcement runs in one process yet; start it without torchrun.")
        self.recipe, self.settings = recipe, recipe.rl
        self.console = Console(stderr=True, highlight=False)
        self.device = device_of(ranks())
        self.dtype = compute_dtype(recipe.run.precision, self.device)
        self.metered = this_device("gpu" if self.device.type == "cuda" else "cpu")
        self.price = price_for(self.metered, price)
        self.budget_text = budget
        self.budget = parse_budget(budget) if budget else None
        self.allowed_seconds = self.budget.seconds(self.price, 1) if self.budget else float("inf")
        tokens_only = self.budget is not None and self.budget.kind == "tokens"
        self.allowed_tokens = self.budget.amount if self.budget and tokens_only else float("inf")
        self.problems = open_problems(self.settings.problems, recipe.seed)
        self.held_out = self.problems.held_out()
        self.grader = open_grader(self.settings)
        require_answers(self.held_out, self.settings.reward)
        folder = usable(recipe.start, lambda text: self.console.print(text, markup=False))
        lora = require_lora(recipe)
        if lora is None:
            model = load(folder, dtype=torch.float32, device=self.device, dense=True)
        else:
            model = frozen_model(model_folder(folder), lora, self.dtype, self.device)
        self.tokenizer = load_tokenizer(folder / "model" if (folder / "model" / "config.json").is_file() else folder)
        vocabulary = min(self.tokenizer.vocab_size, model.config.vocab_size)

        def objective(net: Transformer) -> PolicyObjective:
            return PolicyObjective(net, self.settings.loss, self.settings.temperature, vocabulary)

        self.engine = (
            SingleDevice(model, recipe.optimizer, self.dtype, objective)
            if lora is None
            else AdaptedDevice(model, lora, recipe.seed, recipe.optimizer, self.dtype, objective)
        )
        self.reference: Transformer | None = None
        if self.settings.loss.kl:
            self.reference = copy_of(model)
        self.sampler = Sampler(
            model,
            self.tokenizer,
            self.settings,
            self.grader,
            recipe.seed,
            deterministic=recipe.run.deterministic,
        )
        self._require_room(model)
        counts = count(model.config, min(model.config.max_position_embeddings, 1024))
        self.asking = Asking(
            self.settings,
            self.problems,
            self.held_out,
            self.grader,
            self.sampler,
            self.objective,
            self.reference,
            counts.forward_flops_per_token,
            counts.train_flops_per_token,
            recipe.optimizer.name == "muon",
            recipe.run.deterministic,
        )

    @property
    def objective(self) -> PolicyObjective:
        """The engine's."""
        found = self.engine.objective
        assert isinstance(found, PolicyObjective)
        return found

    def _require_room(self, model: Transformer) -> None:
        longest = max((len(self.sampler.prompt(one)) for one in self.held_out[:64]), default=0)
        positions = model.config.max_position_embeddings
        if longest + self.settings.max_tokens > positions:
            raise UserError(
                f"A prompt of {longest} tokens and an answer of rl.max_tokens = {self.settings.max_tokens} need more "
                f"than the model's {positions} positions; lower rl.max_tokens, or extend the context first."
            )


def require_lora(recipe: ReinforcementRecipe) -> Lora | None:
    """The recipe's adapters. Raises UserError where they cannot be trained so, or the weights are an adapter's own."""
    start, lora = recipe.start, recipe.lora
    if adapter_in(start) is not None:
        raise UserError(
            f"{start} is an adapter, not a model; merge it first, and start from there: centime export {start} --merge "
            "--hf FOLDER"
        )
    if lora is not None and lora.dropout:
        raise UserError("lora.dropout would have it learn from other likelihoods than it drew with: leave it out.")
    if lora is not None and recipe.optimizer.name == "muon":
        raise UserError("optimizer.name muon orthogonalises whole matrices; adapters are trained with adamw.")
    if lora is not None and recipe.rl.bias_update_speed:
        raise UserError("rl.bias_update_speed moves what is frozen under lora (routing biases): leave it out.")
    return lora
