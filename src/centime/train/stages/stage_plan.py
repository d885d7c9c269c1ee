"""A recipe as stages that can be run: the model's configuration, the steps and the rows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from centime.catalogue.model_config import ModelConfig
from centime.data.loader import ORDER
from centime.data.tokenizers import Tokenizer
from centime.model.adapted.sites import sites_named
from centime.plan.counts import count
from centime.recipe import Lora, Recipe, StageSection
from centime.train.stages.batches import Rows, StageRows, TextRows
from centime.train.stages.kind import RowsAsked, RowsKind
from centime.train.stages.resolved import stage_configs
from centime.train.stages.schedule import Schedule, make_schedule


@dataclass(frozen=True)
class StagePlan:
    """One stage, ready to run."""

    name: str  # as on the bill: pretrain, context (context-1, ...), sft
    kind: RowsKind
    stage: StageSection
    config: ModelConfig
    schedule: Schedule
    rows: Rows
    keep_moments: bool  # whether the optimizer goes on from the stage before
    order: int  # of the rows, as Loader has it
    lora: Lora | None = None  # what is trained beside a frozen model

    @property
    def flops_per_token(self) -> float:
        """Model FLOPs of training one token, MTP included where it is trained (recompute never counts).

        A frozen model has no products for gradients of its weights: two thirds of a training's, and its adapters' own.
        """
        counts = count(self.config, round(self.rows.tokens_per_row))
        if self.lora is not None:
            return 2 * counts.forward_flops_per_token + adapter_flops(self.config, self.lora)
        return counts.train_flops_per_token_with_mtp if self.stage.mtp_weight else counts.train_flops_per_token

    @property
    def tokens(self) -> int:
        """Tokens that the stage will train on, padding left out."""
        return round(float(self.schedule.rows.sum()) * self.rows.tokens_per_row)

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of text behind a token of the training data; None for pairs."""
        return self.rows.bytes_per_token if isinstance(self.rows, TextRows) else None

    def steps(self, rank: int, world: int) -> StageRows:
        """The stage's rows as a rank takes them."""
        return StageRows(self.rows, self.schedule, rank, world)


def adapter_flops(config: ModelConfig, lora: Lora) -> float:
    """FLOPs of training adapters on one token: 6 for each number that it meets, of experts those that it visits."""
    met = 0
    for site in sites_named(config, lora.targets, "lora.targets"):
        times = config.num_experts_per_tok if site.group == "experts" else 1
        met += times * lora.rank * (site.shape[-2] + site.shape[-1])
    return 6.0 * met


def settle(recipe: Recipe, tokenizer: Tokenizer, kinds: Mapping[str, RowsKind]) -> Recipe:
    """A resolved recipe with what follows from the data of its stages.

    Raises UserError where that is missing, or longer than the model can read.
    """
    stages = [kinds[one.kind].settled(RowsAsked(recipe, one, tokenizer)) for one in recipe.stage]
    return recipe.model_copy(update={"stage": stages})


def plan_stages(
    recipe: Recipe,
    tokenizer: Tokenizer,
    kinds: Mapping[str, RowsKind],
    factors: Sequence[float] | None = None,
    order: int = ORDER,
    earlier: Sequence[StagePlan] = (),
) -> list[StagePlan]:
    """The stages of a resolved recipe, each of its factor times its stated tokens; the rows come in this order.

    kinds: what each stage's `kind` means. earlier: the stages as they were planned before, with other factors: rows
    that are not text, which take seconds to read, are theirs.

    The order depends on the stated tokens and not on the factors, which change while a stage with a budget runs. Opens
    the data. Raises UserError where it is missing, empty or made with another tokenizer.
    """
    configs = stage_configs(recipe)
    plans: list[StagePlan] = []
    position: tuple[int, ...] | None = None
    for i, (name, section) in enumerate(recipe.stages):
        kind = kinds[section.kind]
        known = earlier[i].rows if earlier and not kind.text else None
        rows = known or kind.rows(RowsAsked(recipe, section, tokenizer, position, order))
        tokens = kind.tokens(section, rows)
        schedule = make_schedule(section, tokens, max(1, round(tokens * (factors[i] if factors else 1))))
        if isinstance(rows, TextRows):
            position = rows.loader.position(int(schedule.rows.sum()))
        keep = i > 0 and kind.text and plans[-1].kind.text
        plans.append(StagePlan(name, kind, section, configs[i], schedule, rows, keep, order, recipe.lora))
    return plans
