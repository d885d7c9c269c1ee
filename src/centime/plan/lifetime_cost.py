"""The options of `plan lifetime`: shapes and sizes, what a law says they need, what the planner says they cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from centime.catalogue.architecture import Architecture, Experts
from centime.catalogue.chips import Chip, chip
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.models import architecture
from centime.catalogue.prices import Price
from centime.errors import UserError, nearest
from centime.plan.architecture_counts import count_architecture
from centime.plan.lifetime import Lifetime, Option, cheapest
from centime.plan.reshape import resized, sparsity
from centime.plan.scaling_laws import LOSS_LAWS, MOE_LAWS, QualityLaw, loss_law, moe_law
from centime.plan.text import Said, said

DENSE_SHAPE, MOE_SHAPE = "llama-3.1-405b", "deepseek-v3"
EXPERTS = (64, 128, 256)  # of which a token visits 8 and the shared one: activation 14 %, 7 %, 3.5 %
STEP = 1.25  # between sizes
SIZES = (0.5e9, 4e12)  # parameters in all
LARGEST = 2.5  # times the bar's effective size: a larger one costs more to train and to serve under every law
SEQ = 4096  # of pre-training, as DeepSeek-V3's and most published recipes
BATCH_TOKENS, BATCH_TOKENS_A_CHIP = 4_194_304, 8192  # a step's, as `plan train` assumes
LEAST_CHIPS, MOST_CHIPS = 64, 16384
TRAIN_DAYS = 60.0  # DeepSeek-V3's pre-training took 54
ROUGH_MFU = 0.35  # only to choose how many chips train
FAMILIES = ("dense", "moe", "both")


@dataclass(frozen=True)
class LifetimeRequest:
    """What `centime plan lifetime` asks.

    quality_of: the model that sets the bar; quality_tokens: that it was trained on (None: as an example of the
    catalogue has it). served_tokens: over the life, prompts and answers together, in the proportion isl to osl; hit:
    share of prompts found in the cache. gpu trains, serve_gpu serves (None: the same chip); precision of training,
    None: the chip's usual. precisions: of serving, None: all that the chip computes in. max_tokens: the most that there
    are to train on. mode: money or flops.
    """

    quality_of: str
    served_tokens: float
    gpu: str = "h800"
    serve_gpu: str | None = None
    quality_tokens: float | None = None
    max_tokens: float | None = None
    family: str = "both"
    precision: str | None = None
    precisions: tuple[str, ...] | None = None
    price: str | None = None
    serve_price: str | None = None
    date: str | None = None
    software_date: str | None = None
    isl: float = 4096.0
    osl: float = 1024.0
    hit: float = 0.0
    ttft_s: float = 5.0
    tpot_s: float = 0.05
    law: str = "besiroglu"
    moe: str = "ling"
    mode: str = "money"

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> LifetimeRequest:
        """Raises UserError on unknown keys."""
        fields = {field.name for field in dataclasses.fields(cls)}
        for key in found:
            if key not in fields:
                raise UserError(f"inputs of lifetime: {key!r} is unknown.{nearest(key, fields)}")
        precisions = found.get("precisions")
        return cls(**{**found, "precisions": tuple(precisions) if precisions else None})


@dataclass(frozen=True)
class Costs:
    """How much a model costs, in one unit, with the factors of an 80 % interval.

    train(arch, tokens): of training on so many tokens. serve(arch, precision): of one served token, None where the chip
    cannot serve the model so.
    """

    unit: str
    precisions: tuple[str, ...]
    train: Callable[[Architecture, float], tuple[float, tuple[float, float]]]
    serve: Callable[[Architecture, str], tuple[float, tuple[float, float]] | None]


def flop_costs() -> Costs:
    """Sardana's: 6 N D and 2 N per served token, N the active parameters, in FLOP."""
    exact = (1.0, 1.0)

    def active(arch: Architecture) -> float:
        return float(count_architecture(arch).active_params)

    return Costs(
        "FLOP",
        ("any",),
        lambda arch, tokens: (6 * active(arch) * tokens, exact),
        lambda arch, precision: (2 * active(arch), exact),
    )


def shapes(family: str) -> list[tuple[str, Architecture]]:
    """The shapes to be brought to size: Llama 3.1's for dense models, DeepSeek-V3's with more or fewer experts."""
    found = [("dense", architecture(DENSE_SHAPE))] if family != "moe" else []
    if family != "dense":
        model = architecture(MOE_SHAPE)
        found += [("moe", _with_experts(model, experts)) for experts in EXPERTS]
    return found


def _with_experts(arch: Architecture, experts: int) -> Architecture:
    blocks = tuple(
        replace(block, feed_forward=replace(block.feed_forward, experts=experts))
        if isinstance(block.feed_forward, Experts)
        else block
        for block in arch.blocks
    )
    return replace(arch, name=f"{arch.name} of {experts} experts", blocks=blocks)


def candidates(family: str, law: QualityLaw, loss: float, most: float) -> list[tuple[str, Architecture, float]]:
    """(family, model, tokens it needs) for every shape, up to `most` effective parameters.

    Sizes lie on one grid whatever the law, so that a model is priced once for all of them.
    """
    found = []
    for kind, shape in shapes(family):
        for k in range(round(math.log(SIZES[1] / SIZES[0], STEP))):
            try:
                arch = resized(shape, SIZES[0] * STEP**k)
            except UserError:
                continue  # smaller than its vocabulary
            active, sparse = float(count_architecture(arch).active_params), sparsity(arch)
            tokens = law.tokens_for(loss, active, sparse)
            if math.isfinite(tokens) and law.effective_params(active, sparse, tokens) <= most:
                found.append((kind, arch, tokens))
    return found


def options(found: list[tuple[str, Architecture, float]], costs: Costs) -> list[Option]:
    """Each candidate priced, once for every precision that it can be served in."""
    made = []
    for kind, arch, tokens in found:
        priced = [(p, one) for p in costs.precisions if (one := costs.serve(arch, p)) is not None]
        if priced:
            train, train_range = costs.train(arch, tokens)
            made += [_option(kind, arch, tokens, p, train, serve, (train_range, r)) for p, (serve, r) in priced]
    return made


def _option(
    kind: str,
    arch: Architecture,
    tokens: float,
    precision: str,
    train: float,
    serve: float,
    ranges: tuple[tuple[float, float], tuple[float, float]],
) -> Option:
    counts = count_architecture(arch)
    total, active = float(counts.total_params), float(counts.active_params)
    return Option(arch.name, kind, sparsity(arch), total, active, tokens, precision, train, serve, *ranges)


def plan_lifetime(request: LifetimeRequest, costs: Costs | None = None) -> Lifetime:
    """Find the cheapest life at the bar's quality. costs: None for the planner's own, or FLOPs by request.mode.

    Raises UserError for unknown names and laws, a bar without known tokens, or one that no option reaches.
    """
    request, bar_arch, notes = _resolved(request)
    trained_on = request.quality_tokens or 0.0
    sources = [bar_arch.source] if bar_arch.source else []
    if costs is None:
        if request.mode == "flops":
            costs = flop_costs()
        else:
            from centime.plan.lifetime_planner import planner_costs

            costs, request, more = planner_costs(request)
            notes += more
    law = QualityLaw(loss_law(request.law), moe_law(request.moe))
    params, sparse = float(count_architecture(bar_arch).active_params), sparsity(bar_arch)
    kind = "moe" if bar_arch.is_mixture else "dense"
    bars = options([(kind, bar_arch, trained_on)], costs)
    if not bars:
        raise UserError(
            f"{bar_arch.name} cannot be served on {request.serve_gpu or request.gpu} within the limits in any of "
            f"{', '.join(costs.precisions)}; take a larger chip, or raise --tpot."
        )
    bar = cheapest(bars, request.served_tokens)

    enough = request.max_tokens or math.inf

    def under(quality: QualityLaw) -> list[Option]:
        loss = quality.loss(params, sparse, trained_on)
        most = LARGEST * quality.effective_params(params, sparse, trained_on)
        own = [option for option in bars if request.family in ("both", kind)]
        there = [one for one in candidates(request.family, quality, loss, most) if one[2] <= enough]
        return own + options(there, costs)

    found = under(law)
    if not found:
        raise UserError(
            f"No {request.family} model that can be served reaches the loss of {bar_arch.name}"
            + (f" on {request.max_tokens:.3g} tokens; raise --max-tokens." if request.max_tokens else ".")
        )
    by_law = []
    for dense in LOSS_LAWS:
        for mixture in MOE_LAWS if request.family != "dense" or bar_arch.is_mixture else (request.moe,):
            if (dense, mixture) != (request.law, request.moe) and dense != "sardana":
                others = under(QualityLaw(LOSS_LAWS[dense], moe_law(mixture)))
                if others:
                    by_law.append((f"{dense} + {mixture}", cheapest(others, request.served_tokens)))
    sources += [LOSS_LAWS[request.law].source, MOE_LAWS[request.moe][1], "arXiv 2401.00448 (inference-aware scaling)"]
    notes.append(
        said(
            "Equal quality is equal loss under {law} and {moe}; for mixtures larger than those laws were fitted on it "
            "is an extrapolation, and the table by law says how much hangs on it.",
            law=request.law,
            moe=request.moe,
        )
    )
    loss = law.loss(params, sparse, trained_on)
    return Lifetime(request, loss, bar, tuple(found), tuple(by_law), costs.unit, tuple(notes), tuple(sources))


def _resolved(request: LifetimeRequest) -> tuple[LifetimeRequest, Architecture, list[Said]]:
    """The request checked, with the bar's tokens from the examples where they are not given."""
    if request.max_tokens is not None and not request.max_tokens > 0:
        raise UserError(f"max_tokens is {request.max_tokens}; expected a number above zero.")
    for name in ("served_tokens", "isl", "osl", "ttft_s", "tpot_s"):
        if not 0 < getattr(request, name) < math.inf:
            raise UserError(f"{name} is {getattr(request, name)}; expected a number above zero.")
    if not 0 <= request.hit < 1:
        raise UserError(f"hit is {request.hit}; expected a share of at least 0 and below 1.")
    if request.family not in FAMILIES:
        raise UserError(f"family {request.family!r} is none of {', '.join(FAMILIES)}.")
    if request.mode not in ("money", "flops"):
        raise UserError(f"mode {request.mode!r} is neither money nor flops.")
    arch = architecture(request.quality_of)
    if request.quality_tokens is not None:
        if not request.quality_tokens > 0:
            raise UserError(f"quality_tokens is {request.quality_tokens}; expected a number above zero.")
        return request, arch, []
    from centime.plan.cases import case, example_names

    examples = {name: case(name) for name in example_names()}
    for name, example in sorted(examples.items(), key=lambda item: not item[1].reported_gpu_hours):
        if architecture(example.model) == arch:
            note = said("{model} was trained on {tokens:.3g} T tokens ({source})", model=arch.name,
                        tokens=example.tokens / 1e12, source=name)  # fmt: skip
            return replace(request, quality_tokens=example.tokens), arch, [note]
    raise UserError(f"How many tokens {arch.name} was trained on is not in the catalogue; give --quality-tokens.")


def price_of(which: Chip, date: str | None, given: str | None) -> Price:
    """An hour of a chip, at a date or as given."""
    return gpu_hour(which, date, given)


def chips_of(request: LifetimeRequest) -> tuple[Chip, Chip]:
    """The chip that trains and the chip that serves."""
    return chip(request.gpu), chip(request.serve_gpu or request.gpu)
