"""`plan lifetime` answered: the options that reach the bar's quality, priced, under every law."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from centime.catalogue.architecture import Architecture
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.counts.architecture import count_architecture
from centime.plan.counts.reshape import sparsity
from centime.plan.lifetime.options import LARGEST, candidates, edges, options
from centime.plan.lifetime.plan import Lifetime, Option, cheapest
from centime.plan.lifetime.prices import planner_costs
from centime.plan.lifetime.request import Costs, LifetimeRequest, flop_costs
from centime.plan.lifetime.scaling_laws import LOSS_LAWS, MOE_LAWS, QualityLaw, loss_law, moe_law
from centime.plan.serving.request import require_service
from centime.plan.step.prediction import software_of
from centime.plan.training.case import case, example_names
from centime.plan.typed_inputs import typed

FAMILIES = ("dense", "moe", "both")

# More than anybody means: tokens of a life and of training.
MOST = {
    "served_tokens": 1e21,
    "max_tokens": 1e18,
    "quality_tokens": 1e18,
}


def from_inputs(inputs: dict[str, Any]) -> Lifetime:
    """The plan of a card's inputs. Raises UserError on keys and values that are none of a request."""
    return plan_lifetime(typed(LifetimeRequest, inputs, "inputs of lifetime"))


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
    notes += edges(cheapest(found, request.served_tokens), found, request.max_tokens)
    return Lifetime(request, loss, bar, tuple(found), tuple(by_law), costs.unit, tuple(notes), tuple(sources))


def _resolved(request: LifetimeRequest) -> tuple[LifetimeRequest, Architecture, list[Said]]:
    """The request checked, with the bar's tokens from the examples where they are not given."""
    for name, most in MOST.items():
        value = getattr(request, name)
        if value is not None and not 1 <= value <= most:
            raise UserError(f"{name} is {value:g}; expected a number of at least 1, and at most {most:g}.")
    software_of(request.software_date)
    quantities = {"isl": request.isl, "osl": request.osl, "ttft": request.ttft_s, "tpot": request.tpot_s}
    require_service(request.hit, quantities)
    if request.family not in FAMILIES:
        raise UserError(f"family {request.family!r} is none of {', '.join(FAMILIES)}.")
    if request.mode not in ("money", "flops"):
        raise UserError(f"mode {request.mode!r} is neither money nor flops.")
    arch = architecture(request.quality_of)
    if request.quality_tokens is not None:
        return request, arch, []
    examples = {name: case(name) for name in example_names()}
    for name, example in sorted(examples.items(), key=lambda item: not item[1].reported_gpu_hours):
        if architecture(example.model) == arch:
            note = said("{model} was trained on {tokens:T.3g} T tokens ({source})", model=arch.name,
                        tokens=example.tokens, source=name)  # fmt: skip
            return replace(request, quality_tokens=example.tokens), arch, [note]
    raise UserError(f"How many tokens {arch.name} was trained on is not in the catalogue; give --quality-tokens.")
