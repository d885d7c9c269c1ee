"""What `centime plan lifetime` asks, and what a model costs to train and to serve, by whom it is priced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from centime.catalogue.architecture import Architecture
from centime.plan.counts.architecture import count_architecture


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
    currency: str | None = None  # of the money, converted where a price is in another
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
