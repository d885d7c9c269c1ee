"""A fleet that comes by and by, taxes, a company's own years, and another currency than dollars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.budget.made import BILLION, middle, plan

from centime.catalogue.currencies.exchange import exchange_rate
from centime.errors import UserError
from centime.plan.budget.company import Company, CompanyYear, company_outcome, read_company
from centime.plan.budget.finance import arrivals, in_use, npv, taxes, worth_at


@given(ramp=st.floats(0, 8), life=st.floats(0.5, 12))
def test_every_part_of_a_fleet_is_in_use_for_its_life(ramp: float, life: float) -> None:
    shares = [in_use(year, ramp, life) for year in range(1, 25)]
    assert sum(shares) == pytest.approx(life)
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)
    parts = arrivals(ramp)
    assert sum(share for share, _ in parts) == pytest.approx(1)
    assert sum(share * mean for share, mean in parts) == pytest.approx(ramp / 2)


def test_a_ramp_of_two_years_by_hand() -> None:
    assert [in_use(year, 2, 4) for year in range(1, 8)] == pytest.approx([0.25, 0.75, 1, 1, 0.75, 0.25, 0])
    made, whole = middle(replace(BILLION, ramp=2.0)), middle(BILLION)
    assert made.gpus == whole.gpus
    assert made.flows[0] == pytest.approx(whole.flows[0] / 2)
    assert made.flows[1] == pytest.approx(made.income[0] + whole.flows[0] / 2)  # the second half, paid a year later
    assert made.income[0] == pytest.approx(whole.income[0] / 4)
    assert made.in_use[:3] == pytest.approx((0.25, 0.75, 1.0))
    assert made.npv == pytest.approx(npv(0.1, made.flows))
    assert worth_at(1.0, 0.2, 0.1, 5, 5) == 0
    with pytest.raises(UserError, match="--ramp 6"):
        replace(BILLION, ramp=6.0)


def test_losses_are_carried_forward() -> None:
    assert taxes([-100, 40, 40, 40, 10], 0.25) == [0, 0, 0, 5, 2.5]
    assert taxes([100, -50, 20], 0.2) == [20, 0, 0]


def test_tax_takes_its_share_of_what_is_earned_in_all() -> None:
    asked = replace(BILLION, tax=0.25)
    made, free = middle(asked), middle(BILLION)
    assert made.income == free.income
    spent, rest = free.flows[0], free.flows[-1] - free.income[-1]
    profit = sum(free.income) + spent + rest  # what is written off and the rest's gain are the capex, in all
    assert sum(made.tax) == pytest.approx(0.25 * profit)
    assert sum(free.tax) == 0
    assert made.npv < free.npv
    assert [a - b for a, b in zip(free.flows[1:], made.flows[1:], strict=True)] == pytest.approx(made.tax)
    late = middle(replace(asked, write_off=10.0))
    assert sum(late.tax) > sum(made.tax)  # what is sold below its book value at the end is a loss that comes too late
    assert late.npv < made.npv
    load = made.break_even_load
    assert load is not None
    assert middle(asked, serve_use=load).npv == pytest.approx(0, abs=1e-6 * 1e9)
    assert free.break_even_load is not None


COMPANY = """
name = "Acme"
currency = "EUR"
[[year]]
year = 2027
capex = "1.2B"
opex = 1e8
[[year]]
year = 2028
revenue = "900M"
opex = 1e8
[[year]]
year = 2029
revenue = "900M"
"""


def test_a_company_by_its_own_figures(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(COMPANY)
    company = read_company(path)
    euro = exchange_rate("EUR", "USD").value
    assert company.years[1] == CompanyYear(2028, 0.0, pytest.approx(9e8 * euro), pytest.approx(1e8 * euro))  # type: ignore[arg-type]
    found = company_outcome(company, 0.1, 0.3, 3.0)
    own = [flow / euro / 1e6 for flow in found.flows]
    assert own == pytest.approx([-1300, 800, 900 - 0.3 * (-500 + 400 + 500)])  # 400 a year are written off
    assert found.npv == pytest.approx(npv(0.1, found.flows))
    made = plan(replace(BILLION, company=company, tax=0.3, write_off=3.0, currency="EUR"))
    told = made.to_json()
    assert told["company"]["name"] == "Acme"
    assert told["company"]["npv_usd"] == found.npv
    assert [row["year"] for row in told["company"]["years_usd"]] == [2027, 2028, 2029]
    assert told["shown"] == {"currency": "EUR", "per_usd": pytest.approx(1 / euro)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no years"),
        ("[[year]]\nyear = 2027\nrevenu = 1", "'revenu' is none of its keys. Did you mean 'revenue'"),
        ("[[year]]\ncapex = 1", "year is missing"),
        ("[[year]]\nyear = 2027\ncapex = -1", "capex is -1"),
        ("[[year]]\nyear = 2027\n[[year]]\nyear = 2029", "2029 follows 2027"),
        ("currency = 'XXX'\n[[year]]\nyear = 2027", "acme.toml: currency: No exchange rate"),
        ("colour = 1", "'colour' is none of its keys. Keys: name, currency, year"),
        ("[[year]]\nyear = 2027-01-01", "year is 2027-01-01; expected a whole number"),
        ("[[year]]\nyear = 2027\ncapex = [1, false]", r"capex is \[1, false\]"),
        ("[[year]]\nyear = 2027\ncapex = {a = 1}", "capex is a table"),
        ("year = [1]", "has no years"),
        ("name = 3\n[[year]]\nyear = 2027", "name is 3"),
        ("capex = 1\n[[year]]\nyear = 2027", "'capex' is none of its keys"),
        ("[[year]]\nyear = 1899", "year is 1899"),
        ("[[year]]\nyear = 2201", "year is 2201"),
        ("[[year]]\nyear = 2027\nopex = nan", "opex is nan"),
        ("[[year]]\nyear = 2027\nopex = 1.01e15", "opex is 1010000000000000"),
        ("[[year]]\nyear = 2027\nopex = true", "opex is true"),
        ("".join(f"[[year]]\nyear = {year}\n" for year in range(2000, 2041)), "has no years, or more than 40"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_company(path)


def test_the_years_and_amounts_that_a_file_may_have(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    for first, count in ((1900, 40), (2200, 1)):
        path.write_text("".join(f"[[year]]\nyear = {first + i}\ncapex = 1e15\n" for i in range(count)))
        company = read_company(path)
        assert (company.name, company.years[-1].year) == ("acme", first + count - 1)
        assert (company.capex, company.years[0].opex) == (count * 1e15, 0)


def test_amounts_in_another_currency_are_the_same_amounts() -> None:
    dollars, euros = plan(BILLION), plan(replace(BILLION, currency="EUR"))
    assert euros.base == dollars.base
    assert euros.rate == exchange_rate("USD", "EUR").value
    with pytest.raises(UserError, match="No exchange rate"):
        replace(BILLION, currency="XXX")


def test_a_company_without_years_of_profit_pays_none() -> None:
    never = Company("x", (CompanyYear(2027, 10.0, 0.0, 1.0), CompanyYear(2028, 0.0, 5.0, 1.0)))
    found = company_outcome(never, 0.1, 0.5, 2.0)
    assert (found.tax, found.payback) == ((0.0, 0.0), None)


def test_a_companys_amount_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "company.toml"
    path.write_text('[[year]]\nyear = 2027\ncapex = "much"\n')
    with pytest.raises(UserError, match=r"company\.toml: year 1: capex: 'much' is not a quantity"):
        read_company(path)
