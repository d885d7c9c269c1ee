"""A company by its own figures: capex, revenue and opex of each year, from a TOML file, and what they come to.

name = "Acme"
currency = "EUR"      # dollars where it is left out
[[year]]
year = 2027
capex = "1.2B"        # numbers, or as people write them
revenue = 3e8
opex = "40M"
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from centime.catalogue.currencies.exchange import converted
from centime.errors import UserError, nearest
from centime.input_files import parse_toml, read_text
from centime.messages import Amount
from centime.plan.budget.finance import irr, npv, payback, taxes
from centime.typed_trees import as_written
from centime.units import parse_count

WHAT = "a TOML file with [[year]] tables of year, capex, revenue and opex (docs/plan-fleet.md#budget)"
KEYS = ("capex", "revenue", "opex")
TOP = ("name", "currency", "year")
MOST = 1e15  # of a currency in a year
MOST_YEARS = 40


@dataclass(frozen=True)
class CompanyYear:
    """What a company spends on what lasts, takes in, and spends on the rest, in a year. USD."""

    year: int
    capex: float
    revenue: float
    opex: float


@dataclass(frozen=True)
class Company:
    """A company's own figures, the years one after the other; in USD, whatever the file was in."""

    name: str
    years: tuple[CompanyYear, ...]

    @property
    def capex(self) -> float:
        """Of all years."""
        return sum(one.capex for one in self.years)


@dataclass(frozen=True)
class CompanyOutcome:
    """Flows of each year after tax, the first undiscounted, with the tax in them; USD."""

    flows: tuple[float, ...]
    tax: tuple[float, ...]
    npv: float
    irr: float | None
    payback: float | None

    def to_json(self, company: Company) -> dict[str, Any]:
        """The company as --json prints it."""
        rows = [
            asdict(one) | {"tax": tax, "flow": flow}
            for one, tax, flow in zip(company.years, self.tax, self.flows, strict=True)
        ]
        found = {"npv_usd": self.npv, "irr": self.irr, "payback_years": self.payback}
        return {"name": company.name, "years_usd": rows} | found


def company_outcome(company: Company, discount: float, tax: float, write_off: float) -> CompanyOutcome:
    """What the figures come to. Capex is written off evenly over `write_off` years, from the year it is spent."""
    income = [one.revenue - one.opex for one in company.years]
    written_off = [
        sum(
            before.capex / write_off * max(0.0, min(1.0, write_off - (place - start)))
            for start, before in enumerate(company.years[: place + 1])
        )
        for place in range(len(company.years))
    ]
    paid = taxes([i - d for i, d in zip(income, written_off, strict=True)], tax)
    flows = [i - t - one.capex for i, t, one in zip(income, paid, company.years, strict=True)]
    return CompanyOutcome(tuple(flows), tuple(paid), npv(discount, flows), irr(flows), payback(flows))


def read_company(path: Path) -> Company:
    """The company of a file. Raises UserError naming the file, the table and the key that is wrong."""
    where = f"--company {path}"
    found = parse_toml(read_text(path, WHAT), where)
    _known(found, TOP, where)
    name, currency, rows = found.get("name", path.stem), found.get("currency", "USD"), found.get("year", [])
    for key, value in (("name", name), ("currency", currency)):
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where}: {key} is {as_written(value)}; expected a text.")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_YEARS or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{where} has no years, or more than {MOST_YEARS}; expected {WHAT}.")
    try:
        each = converted(Amount(1.0, currency.strip().upper()), "USD").value
    except UserError as error:
        raise UserError(f"{where}: currency: {error}") from None
    years = [_year(row, f"{where}: year {number}", each) for number, row in enumerate(rows, 1)]
    for before, after in itertools.pairwise(years):
        if after.year != before.year + 1:
            raise UserError(f"{where}: {after.year} follows {before.year}; give every year, one after the other.")
    return Company(name, tuple(years))


def _year(row: Mapping[str, Any], where: str, each: float) -> CompanyYear:
    _known(row, ("year", *KEYS), where)
    if "year" not in row:
        raise UserError(f"{where}: year is missing; expected a whole number such as 2027.")
    if type(row["year"]) is not int or not 1900 <= row["year"] <= 2200:
        raise UserError(f"{where}: year is {as_written(row['year'])}; expected a whole number such as 2027.")
    return CompanyYear(row["year"], *(each * _amount(row.get(key, 0), f"{where}: {key}") for key in KEYS))


def _known(table: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in table:
        if key not in keys:
            hint = nearest(key, keys) or f" Keys: {', '.join(keys)}."
            raise UserError(f"{where}: {key!r} is none of its keys.{hint}")


def _amount(value: Any, where: str) -> float:
    try:
        number = parse_count(value) if isinstance(value, str) else value
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if type(number) not in (int, float) or not 0 <= number <= MOST:
        raise UserError(f"{where} is {as_written(value)}; expected an amount from 0 to {MOST:g}.")
    return float(number)


def flows_by_year(flows: Sequence[float], discount: float) -> list[float]:
    """The sum of discounted flows up to each year."""
    return [npv(discount, flows[: end + 1]) for end in range(len(flows))]
