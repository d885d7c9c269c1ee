"""Grams of CO2 equivalent of some energy: kilowatt-hours of the devices x PUE x the grid's grams per kilowatt-hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from centime.catalogue.grids import GridIntensity, grid_intensity
from centime.units import format_count

TONNE, KILOGRAM = 1e6, 1e3


@dataclass(frozen=True)
class Footprint:
    """What carbon is counted by. grid: None where nobody said where the electricity comes from: then there is none."""

    grid: GridIntensity | None

    @classmethod
    def chosen(cls, grid: str | None = None, pue: float | None = None) -> Footprint:
        """By what the person says, else by $CENTIME_HOME/carbon.toml. Raises UserError for what is no grid."""
        return cls(grid_intensity(grid, pue))

    def grams(self, kwh: float | None) -> float | None:
        """Of so many kilowatt-hours of devices; None where one of the two is not known."""
        return None if self.grid is None or kwh is None else kwh * self.grid.pue * self.grid.grams_per_kwh

    def text(self, kwh: float | None) -> str:
        """For a table; '' where nothing is known."""
        grams = self.grams(kwh)
        return "" if grams is None else format_grams(grams)

    def as_json(self) -> dict[str, Any] | None:
        """What the grams of a bill are counted by, null where there are none (docs/bill.md names the keys)."""
        return None if self.grid is None else self.grid.as_json()


def format_grams(grams: float) -> str:
    """'12 g', '3.4 kg', '1.2 t'."""
    for unit, name in ((TONNE, "t"), (KILOGRAM, "kg")):
        if grams >= unit:
            return f"{format_count(grams / unit)} {name}"
    return f"{grams:.3g} g" if grams >= 1e-3 or not grams else f"{grams * 1e3:.3g} mg"
