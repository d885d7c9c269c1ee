"""Which model to train when it will also be served: the least of training plus serving over a life, at equal quality.

Sardana et al. (arXiv 2401.00448, equation 1) minimise 6 N D + 2 N T over N and D at a fixed loss. Here both terms are
money: chip-hours of the training step that the planner predicts, and chip-seconds of the serving units that it chooses,
each times the price of an hour; FLOPs remain as a mode, in which Sardana's own figures come out. Equal quality is equal
predicted loss (`scaling_laws`): for every shape, size and sparsity the law says how many tokens D reach the loss of
the model that sets the bar; what it then costs to serve T tokens is a straight line in T, and the answer for any T is
the lowest of the lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from centime.plan.counts.reshape import Sparsity
from centime.plan.lifetime.request import LifetimeRequest

DECADES = 3.0  # the curve over demand reaches so many powers of ten to either side
POINTS_A_DECADE = 4


@dataclass(frozen=True)
class Option:
    """One model that reaches the bar. Costs are in the plan's unit: money, or FLOPs.

    params and active_params: of the counts; tokens: that it must be trained on; train: cost of all of them; serve: cost
    of one served token in `precision`; low and high: factors of the 80 % interval of each.
    """

    name: str
    family: str  # dense, or moe
    sparsity: Sparsity
    params: float
    active_params: float
    tokens: float
    precision: str
    train: float
    serve: float
    train_range: tuple[float, float] = (1.0, 1.0)
    serve_range: tuple[float, float] = (1.0, 1.0)

    def total(self, served: float) -> float:
        """Cost of a life in which `served` tokens are served."""
        return self.train + self.serve * served

    def serving_share(self, served: float) -> float:
        """Of the total."""
        return self.serve * served / self.total(served)

    @property
    def break_even(self) -> float:
        """Served tokens at which serving has cost what training did."""
        return self.train / self.serve

    def interval(self, served: float) -> tuple[float, float]:
        """80 % of the total: both parts err by the same machine, so that their ends add."""
        low, high = (self.train * self.train_range[end] + self.serve * served * self.serve_range[end] for end in (0, 1))
        return low, high

    def to_json(self, served: float) -> dict[str, Any]:
        """The option as --json prints it."""
        low, high = self.interval(served)
        return {
            "model": self.name,
            "family": self.family,
            "params": self.params,
            "active_params": self.active_params,
            "activation": self.sparsity.activation,
            "tokens": self.tokens,
            "tokens_per_active_param": self.tokens / self.active_params,
            "serving_precision": self.precision,
            "training_cost": self.train,
            "serving_cost": self.serve * served,
            "serving_cost_per_m_tokens": self.serve * 1e6,
            "total_cost": self.total(served),
            "serving_share": self.serving_share(served),
            "break_even_tokens": self.break_even,
            "interval": {"low": low, "high": high},
        }


@dataclass(frozen=True)
class Point:
    """The best option at one demand."""

    served: float
    best: Option

    @property
    def total(self) -> float:
        return self.best.total(self.served)


@dataclass(frozen=True)
class Lifetime:
    """The plan. bar: the model that sets the quality, as it was trained; options: every other that reaches it.

    by_law: the best option and its total under every other law, which is how far the answer can be trusted.
    """

    request: LifetimeRequest
    loss: float
    bar: Option
    options: tuple[Option, ...]
    by_law: tuple[tuple[str, Option], ...]
    unit: str  # a currency, or FLOP
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]

    verb = "lifetime"

    @property
    def served(self) -> float:
        """Tokens served over the life."""
        return self.request.served_tokens

    @property
    def best(self) -> Option:
        """The option with the least total."""
        return cheapest(self.options, self.served)

    @property
    def saving(self) -> float:
        """Share of the bar's total that the best option saves; negative where the bar itself is the cheapest."""
        return 1 - self.best.total(self.served) / self.bar.total(self.served)

    def best_of(self, family: str, precision: str | None = None) -> Option | None:
        """The cheapest option of a family, and of a precision where one is given."""
        found = [o for o in self.options if o.family == family and precision in (None, o.precision)]
        return cheapest(found, self.served) if found else None

    def curve(self) -> list[Point]:
        """The best option over demand, DECADES to either side of the demand asked for."""
        steps = round(DECADES * POINTS_A_DECADE)
        demands = [self.served * 10 ** (i / POINTS_A_DECADE) for i in range(-steps, steps + 1)]
        return [Point(served, cheapest(self.options, served)) for served in demands]

    def break_even(self) -> float:
        """Demand from which on even the best choice spends more on serving than on training.

        Where a smaller model takes over, training's share rises again: this is the last demand at which it is half.
        """
        spans = envelope(self.options)
        ends = [start for start, _ in spans[1:]] + [math.inf]
        return max(
            min(end, option.break_even)
            for (start, option), end in zip(spans, ends, strict=True)
            if option.break_even >= start
        )

    def to_json(self) -> dict[str, Any]:
        """Keys: docs/plan-economics.md."""
        best = self.best
        low, high = best.interval(self.served)
        precisions = dict.fromkeys(option.precision for option in self.options)
        picked = [self.best_of(family, p) for family in ("dense", "moe") for p in precisions]
        return {
            "loss": self.loss,
            "served_tokens": self.served,
            "unit": self.unit,
            "total_cost": best.total(self.served),
            "training_cost": best.train,
            "serving_cost": best.serve * self.served,
            "serving_share": best.serving_share(self.served),
            "saving": self.saving,
            "break_even_tokens": self.break_even(),
            "interval": {"low": low, "high": high, "confidence": 0.8},
            "bar": self.bar.to_json(self.served),
            "best": best.to_json(self.served),
            "best_by_family_and_precision": [option.to_json(self.served) for option in picked if option],
            "curve": [{"served_tokens": point.served, **point.best.to_json(point.served)} for point in self.curve()],
            "by_law": [{"law": law, **option.to_json(self.served)} for law, option in self.by_law],
            "assumptions": [str(line) for line in self.assumptions],
            "sources": list(self.sources),
        }

    def inputs(self) -> dict[str, Any]:
        """The request with prices and tokens resolved."""
        return asdict(self.request)


def cheapest(options: Sequence[Option], served: float) -> Option:
    """The option with the least total at a demand; of equals the smaller."""
    return min(options, key=lambda option: (option.total(served), option.params))


def envelope(options: Sequence[Option]) -> list[tuple[float, Option]]:
    """Who is cheapest from which demand on: (served tokens, option), from nothing served upwards."""
    best = min(options, key=lambda option: (option.train, option.serve))
    found = [(0.0, best)]
    while lighter := [option for option in options if option.serve < best.serve]:

        def crossing(option: Option, than: Option = best) -> tuple[float, float]:
            return (option.train - than.train) / (than.serve - option.serve), option.serve

        best = min(lighter, key=crossing)
        found.append((crossing(best, found[-1][1])[0], best))
    return found
