"""`centime plan`: what it will cost. A sub-verb is a module here, imported when it is asked for.

To add one: centime/cli/plan/<name>.py with

    def serve(model: Annotated[str, typer.Option(help=...)], ..., as_json: AsJson = False, html: Html = None,
              lang: Lang = "en", card: CardFile = None) -> None:
        from centime.plan.serving.planner import ServingRequest, plan_serving

        emit(plan_serving(ServingRequest(...)), as_json=as_json, html=html, lang=lang, card=card)

and its line in PLANS below. A plan is any object of centime.plan.verbs.Plan: `verb` (a class attribute), `to_json()`,
`inputs()`, which hold what the planner was asked with dates and prices resolved. Its line in centime.plan.verbs.VERBS
names its planner, by whose `from_inputs(inputs) -> plan` `centime plan rerun` builds it again, and its report, whose
`title(plan, lang)` and `sections(plan, lang)` show it.
Texts go through centime.plan.show.language. Quantities come as text and are parsed by centime.units.
"""

from __future__ import annotations

import typer

from centime.cli.program.group import LazyGroup

# sub-verb -> the line that `centime plan --help` shows.
PLANS = {
    "train": "What a training run takes: GPU-hours, days, money, step time, memory; by stage, with intervals.",
    "serve": "What serving a model takes: units, batch, latency, tokens per second, $ per million tokens, margin.",
    "explain": "Why two plans differ: the cost ratio split into its causes.",
    "diff": "What a change costs: two recipes, runs, serving plans or fleets, by cause; exit 1 past a limit.",
    "lifetime": "The split between training and inference over a model's life, and the cheapest size for it.",
    "fleet": "Demand over years to GPUs, power and money by month, with percentiles.",
    "budget": "What a budget buys, rent against own, and what the answer depends on most.",
    "compare": "Models, chips or layouts side by side, with what may be bought where and when.",
    "frontier": "Speed for a user against tokens of a chip and a dollar, for many chips; layouts, memory, launches.",
    "breakeven": "From how many tokens a day on one's own fleet costs less than an API, with the interval of that.",
    "check": "Predict every row of a file of published runs, and say how far off.",
    "rerun": "Compute a card's plan again: the same number, or what changed and by how much.",
}


class PlanGroup(LazyGroup):
    """The sub-verbs of `centime plan`."""

    verbs = PLANS
    package = "centime.cli.plan"
    path = "centime plan"


app = typer.Typer(cls=PlanGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def plan() -> None:
    """What it will cost to train and to serve, before a cent is spent. Needs no GPU and no torch."""
