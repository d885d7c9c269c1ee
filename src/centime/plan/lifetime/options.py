"""The options of `plan lifetime`: shapes and sizes, what a law says they need, what the planner says they cost."""

from __future__ import annotations

import math
from dataclasses import replace

from centime.catalogue.architecture import Architecture, ExpertsSpec
from centime.catalogue.models import architecture
from centime.messages import Said, said
from centime.plan.counts.architecture import count_architecture
from centime.plan.counts.reshape import resized, sparsity
from centime.plan.lifetime.plan import Option
from centime.plan.lifetime.request import Costs
from centime.plan.lifetime.scaling_laws import QualityLaw

DENSE_SHAPE, MOE_SHAPE = "llama-3.1-405b", "deepseek-v3"
EXPERTS = (64, 128, 256)  # of which a token visits 8 and the shared one: activation 14 %, 7 %, 3.5 %
STEP = 1.25  # between sizes
SIZES = (0.5e9, 4e12)  # parameters in all
MOST_TRAINED = 36e12  # tokens of a published run: Qwen3, arXiv 2505.09388
PUBLIC_TEXT = 300e12  # tokens, adjusted for quality and repetition: Epoch AI, arXiv 2211.04325
LARGEST = 2.5  # times the bar's effective size: a larger one costs more to train and to serve under every law


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
        if isinstance(block.feed_forward, ExpertsSpec)
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
            arch = resized(shape, SIZES[0] * STEP**k)
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


def edges(best: Option, found: list[Option], most_tokens: float | None) -> list[Said]:
    """What is to be said of an answer at the edge of the search, or beyond what there is to train on."""
    active = best.sparsity.activation
    alike = [o.params for o in found if o.family == best.family and math.isclose(o.sparsity.activation, active)]
    said_of = []
    if best.params <= min(alike) and len(set(alike)) > 1:
        said_of.append(
            said(
                "The cheapest is the smallest that was tried: a size {step:g} times smaller reaches the loss {why}, so "
                "that more served tokens change the answer no further.",
                step=STEP,
                why=said("on no number of tokens under this law, or is not to be had")
                if most_tokens is None
                else said("on no more tokens than --max-tokens allows"),
            )
        )
    if best.params >= max(alike) and len(set(alike)) > 1:
        said_of.append(said("The cheapest is the largest that was tried; a larger one may be cheaper still."))
    if best.tokens > MOST_TRAINED:
        said_of.append(
            said(
                "{tokens:count} tokens are more than any published run has seen (Qwen3: {most:count}, arXiv "
                "2505.09388), and the stock of public text is put at {stock:count} (Epoch AI, arXiv 2211.04325). "
                "--max-tokens keeps to what there is.",
                tokens=best.tokens,
                most=MOST_TRAINED,
                stock=PUBLIC_TEXT,
            )
        )
    return said_of


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
