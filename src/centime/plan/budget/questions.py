"""What an investor asks beside the figures: which split is likely, and how many GPUs are left if efficiency grows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from centime.errors import UserError
from centime.messages import said
from centime.plan.budget.inputs import MOST_GAIN, table
from centime.plan.fleet.demand import rebound
from centime.plan.fleet.uncertain import Uncertain, three_of

Three = tuple[float, float, float]


@dataclass(frozen=True)
class PublishedSplit:
    """Whose compute trained how much of it (research included), as somebody states it."""

    title: str
    period: str
    train: float
    source: str


@dataclass(frozen=True)
class EfficiencyGain:
    """What a gain in tokens per GPU does to a fleet. Every triple is the 10th percentile, the median, the 90th.

    price and tokens: over those before; gpus: the fleet that is then needed, those that train as before; share_more: of
    the draws, in which that is more than before; threshold: elasticity above which it is, at the median pass-through.
    """

    factor: float
    price: Three
    tokens: Three
    gpus: Three
    share_more: float
    threshold: float
    sources: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The gain as --json prints it."""
        return asdict(self)


def parse_gain(text: str) -> float:
    """'10x' -> 10.0. Raises UserError on anything but a factor above zero."""
    number = text.strip().lower().removesuffix("x").removeprefix("x")
    try:
        factor = float(number)
    except ValueError:
        factor = 0.0
    if not 1 / MOST_GAIN <= factor <= MOST_GAIN:
        raise UserError(f"--efficiency {text!r} is not a factor; write how many times more tokens a GPU serves: 10x.")
    return factor


def published_splits() -> tuple[PublishedSplit, ...]:
    """Those of budget.toml, the newest first."""
    return tuple(PublishedSplit(**row) for row in table()["splits"])


def efficiency_gain(factor: float, gpus: float, serve: float, draws: int, seed: int) -> EfficiencyGain:
    """`gpus` GPUs, of whose hours `serve` serves, when a GPU serves `factor` times the tokens.

    The price of a token falls by factor^-pass_through, demand grows by its elasticity, and the GPUs that serve change
    by factor^(elasticity x pass_through - 1) (`fleet.demand.rebound`); what trains, and what does neither, stays.
    """
    elasticity, passed = (Uncertain(**table()[name]) for name in ("elasticity", "pass_through"))
    e, p = elasticity.draw(draws, seed, "elasticity"), passed.draw(draws, seed, "pass_through")
    ratio, _ = rebound(factor, e, p)
    needed = gpus * (1 - serve + serve * ratio)
    return EfficiencyGain(
        factor,
        three_of(factor**-p),
        three_of(factor ** (e * p)),
        three_of(needed),
        float((needed > gpus).mean()),
        1 / passed.mid,
        (
            said("{name}: {source}", name=said("Elasticity of demand"), source=said(elasticity.source)),
            said("{name}: {source}", name=said("Share of a saving passed on"), source=said(passed.source)),
        ),
    )
