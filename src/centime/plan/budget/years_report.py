"""The years of a budget as tables: the fleet's where it comes by and by or is taxed, and a company's own."""

from __future__ import annotations

from centime.messages import Writer
from centime.plan.budget.company import flows_by_year
from centime.plan.budget.plan import BudgetPlan
from centime.plan.show.sections import Section, Table


def year_sections(plan: BudgetPlan, w: Writer) -> list[Section]:
    """What was asked for of the two."""
    request = plan.request
    found: list[Section] = [_fleet(plan, w)] if request.ramp or request.tax else []
    return found + ([_company(plan, w)] if request.company else [])


def _short(plan: BudgetPlan, w: Writer, dollars: float) -> str:
    return w.short_money(dollars * plan.rate, plan.currency)


def _fleet(plan: BudgetPlan, w: Writer) -> Table:
    base, sums = plan.base, flows_by_year(plan.base.flows, plan.request.discount)
    rows = [[w.say("today"), "", "", "", _short(plan, w, base.flows[0]), _short(plan, w, sums[0])]]
    for year, flow in enumerate(base.flows[1:], 1):
        share, income, tax = (of[year - 1] for of in (base.in_use, base.income, base.tax))
        money = [_short(plan, w, value) for value in (income, tax, flow, sums[year])]
        rows.append([w.number(year), w.number(share, ".0%"), *money])
    head = [w.say("year"), w.say("in use"), w.say("income"), w.say("tax"), w.say("cash flow"), w.say("NPV so far")]
    note = w.say("At the medians; income is after power and upkeep, the last year's flow with what is sold at its end.")
    return Table(w.say("The fleet by year"), head, rows, note)


def _company(plan: BudgetPlan, w: Writer) -> Table:
    company, found = plan.request.company, plan.company
    assert company is not None
    assert found is not None
    sums = flows_by_year(found.flows, plan.request.discount)
    rows = []
    for one, tax, flow, so_far in zip(company.years, found.tax, found.flows, sums, strict=True):
        values = (one.capex, one.revenue, one.opex, tax, flow, so_far)
        rows.append([str(one.year), *(_short(plan, w, value) for value in values)])
    head = [w.say("year"), w.say("capex"), w.say("revenue"), w.say("opex"), w.say("tax"), w.say("cash flow")]
    note = w.say(
        "NPV {npv}, IRR {irr}, payback {payback}: its own figures, of which centime predicts none; what it still owns "
        "at the end counts nothing.",
        npv=_short(plan, w, found.npv),
        irr=w.say("none") if found.irr is None else w.number(found.irr, ".1%"),
        payback=w.say("never") if found.payback is None else w.say("{n:.1f|year|years}", n=found.payback),
    )
    return Table(w.say("{name} by its own figures", name=company.name), [*head, w.say("NPV so far")], rows, note)
