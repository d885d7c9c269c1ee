"""Grams of CO2 equivalent that a kilowatt-hour of a grid comes with: the person's own figure, or a country's of a year.

The table is codecarbon 3.3.2's (PyPI, 2026-10-23, MIT), data/private_infra/global_energy_mix.json, which has Our World
in Data's figures of electricity by country: its `carbon_intensity` of the countries whose year there is 2023. It is the
mean of a year and a country: the hour, the region and a contract of one's own may be far from it.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from centime.catalogue.home import centime_home
from centime.csv_files import read_rows
from centime.errors import UserError, nearest
from centime.input_files import parse_toml, read_text
from centime.units import format_number

TABLE = Path(__file__).parent / "grid_intensity.csv"
SOURCE = "codecarbon 3.3.2, global_energy_mix.json, of Our World in Data"
MOST_GRAMS, MOST_PUE = 10_000.0, 10.0  # beyond any grid and any building
_OWN = re.compile(r"(\d+(?:\.\d+)?)\s*g(?:\s*CO2e?)?\s*/\s*kWh", re.IGNORECASE)
_KEYS = ("grid", "grams_per_kwh", "date", "source", "pue")


@dataclass(frozen=True)
class GridIntensity:
    """Where electricity comes from, as far as carbon goes. pue: what a building draws over what its devices do."""

    grams_per_kwh: float
    name: str
    date: str  # a year, or what the person says; '' where they say nothing
    source: str
    pue: float = 1.0
    pue_given: bool = False

    def __str__(self) -> str:
        of = ", ".join(part for part in (self.name, self.date, self.source) if part)
        pue = f"PUE {format_number(self.pue)}" if self.pue_given else "PUE 1, the devices alone, since none was given"
        return f"{format_number(self.grams_per_kwh)} g CO2e per kWh ({of}); {pue}"

    def as_json(self) -> dict[str, Any]:
        """{grams_per_kwh, grid, date, source, pue, pue_given}."""
        return {
            "grams_per_kwh": self.grams_per_kwh,
            "grid": self.name,
            "date": self.date or None,
            "source": self.source,
            "pue": self.pue,
            "pue_given": self.pue_given,
        }


def grid_intensity(grid: str | None = None, pue: float | None = None) -> GridIntensity | None:
    """The grid that the person names (a country, or '56 g/kWh'), else that of $CENTIME_HOME/carbon.toml, else None.

    Raises UserError for a country that the table does not have, and for a file with something wrong in it.
    """
    if pue is not None:
        _check_pue(pue, "--pue")
    own = _own_file()
    if grid is not None:
        found = _given(grid)
    elif own:
        found = _of_file(own)
    elif pue is not None:
        raise UserError(f"--pue goes with a grid: give --grid too, or one in {carbon_path()}.")
    else:
        return None
    ratio = pue if pue is not None else own.get("pue")
    if ratio is None:
        return found
    return GridIntensity(found.grams_per_kwh, found.name, found.date, found.source, float(ratio), True)


def carbon_path() -> Path:
    """The person's own figures."""
    return centime_home() / "carbon.toml"


def _given(text: str) -> GridIntensity:
    match = _OWN.fullmatch(text.strip())
    if match:
        return GridIntensity(_grams(float(match[1]), "--grid"), "given", "", "the person's own figure")
    return _country(text, "--grid")


def _country(text: str, where: str) -> GridIntensity:
    table, names = _table()
    word = text.strip()
    code = word.upper() if word.upper() in table else names.get(word.lower())
    if code is None:
        raise UserError(
            f"{where} {text!r} is no country of the table of grids.{nearest(word, [*table, *names])} Give its code of "
            "three letters, such as FRA, its name, or a figure of your own, such as '56 g/kWh'."
        )
    return table[code]


def _of_file(own: Mapping[str, Any]) -> GridIntensity:
    if "grid" in own:
        return _country(str(own["grid"]), f"{carbon_path()}: grid")
    return GridIntensity(
        _grams(own["grams_per_kwh"], f"{carbon_path()}: grams_per_kwh"),
        "given", str(own.get("date", "")), str(own.get("source", "the person's own figure")),
    )  # fmt: skip


def _own_file() -> Mapping[str, Any]:
    path = carbon_path()
    if not path.exists():
        return {}
    own = parse_toml(read_text(path, "the grid that electricity comes from, or none at all"), str(path))
    for key in own:
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key {key!r}.{nearest(key, _KEYS)} Keys: {', '.join(_KEYS)}.")
    if ("grid" in own) == ("grams_per_kwh" in own):
        raise UserError(f'{path}: give either grid, a country such as "FRA", or grams_per_kwh, a figure of your own.')
    if "pue" in own:
        _check_pue(own["pue"], f"{path}: pue")
    return own


def _grams(value: Any, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MOST_GRAMS:
        raise UserError(f"{where} {value!r} is not between 0 and {MOST_GRAMS:,.0f} grams; give one such as 56.")
    return float(value)


def _check_pue(value: Any, where: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 1 <= value <= MOST_PUE:
        raise UserError(
            f"{where} {value!r} is not between 1 and {MOST_PUE:g}; give what its owner states, such as 1.2."
        )


@functools.cache
def _table() -> tuple[dict[str, GridIntensity], dict[str, str]]:
    """(by code, codes by lower-case name)."""
    rows = read_rows(TABLE)
    table = {
        row["code"]: GridIntensity(float(row["grams_per_kwh"]), row["country"], row["year"], SOURCE) for row in rows
    }
    return table, {row["country"].lower(): row["code"] for row in rows}
