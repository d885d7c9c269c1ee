"""What buyers spend, how many tokens are served, how many chips move: the dated figures of market.csv."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from centime.csv_files import read_rows
from centime.errors import UserError, nearest

TABLE = Path(__file__).parent / "market.csv"


@dataclass(frozen=True)
class MarketFigure:
    """One row: a figure, or a range where low and high differ, of one entity in one period."""

    id: str
    category: str  # capex, tokens, fleet, export, revenue, power, price trend
    entity: str
    metric: str
    period: str  # as the source says it: FY2025, 2025 (Jul 2025), 2026-01
    low: float
    high: float
    unit: str
    note: str
    confidence: str
    source: str

    @property
    def middle(self) -> float:
        """Half-way between low and high."""
        return (self.low + self.high) / 2


@functools.cache
def market() -> tuple[MarketFigure, ...]:
    """Every figure, in the table's order."""
    return tuple(
        MarketFigure(
            row["id"],
            row["category"],
            row["entity"],
            row["metric"],
            row["period_or_date"],
            float(row["value_low"]),
            float(row["value_high"]),
            row["unit"],
            row["note"],
            row["confidence"],
            row["source"],
        )
        for row in read_rows(TABLE)
    )


def figures(category: str | None = None, entity: str | None = None) -> list[MarketFigure]:
    """The figures of a category, of an entity ('Microsoft'), or of both. Raises UserError on a name there is not."""
    for word, known in ((category, {row.category for row in market()}), (entity, {row.entity for row in market()})):
        if word is not None and word not in known:
            raise UserError(f"market.csv has no {word!r}.{nearest(word, known)} Known: {', '.join(sorted(known))}.")
    return [row for row in market() if category in (None, row.category) and entity in (None, row.entity)]


def figure(id: str) -> MarketFigure:
    """The row with that id ('M048'), as sources are cited. Raises UserError where there is none."""
    for row in market():
        if row.id == id:
            return row
    raise UserError(f"market.csv has no row {id!r}; ids go from {market()[0].id} to {market()[-1].id}.")
