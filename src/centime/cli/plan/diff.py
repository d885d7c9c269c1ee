"""`centime plan diff`: what a change costs, for a continuous integration to hold against a limit."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Html, Lang, emit

SIDE = "A card, a recipe of `centime train`, a run or scenario (TOML or shipped), or a model's folder or config.json."


def diff(
    a: Annotated[str, typer.Argument(help=SIDE)],
    b: Annotated[str, typer.Argument(help="What is held against A, in the same ways.")],
    fail_over: Annotated[
        str | None, typer.Option("--fail-over", help="Exit with 1 where B costs more than A by this share: 5%.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a comment.")] = False,
    gpu: Annotated[str | None, typer.Option("--gpu", help="The chip, where a side does not say it.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", help="How many, where a side does not say it.")] = None,
    tokens: Annotated[str | None, typer.Option("--tokens", help="Of pre-training, where a side does not say.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="Where a side does not say it.")] = None,
    layout: Annotated[str | None, typer.Option("--layout", help="Where a side does not say it.")] = None,
    price: Annotated[str | None, typer.Option("--price", help="Of a GPU-hour, where a side does not say it.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="Of prices and software, likewise.")] = None,
    isl: Annotated[
        str | None, typer.Option("--isl", help="Mean prompt: a config.json is served instead of trained.")
    ] = None,
    osl: Annotated[str | None, typer.Option("--osl", help="Mean answer, likewise.")] = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """What a change costs: two recipes, runs, serving plans or fleets, the difference by cause; exit 1 past a limit."""
    from centime.errors import UserError
    from centime.plan.diff.plan import diff as compared
    from centime.plan.diff.plan import parse_limit
    from centime.plan.diff.sides import Options, side
    from centime.plan.training.request import whole
    from centime.recipe.planned import planned
    from centime.units import parse_count

    if markdown and as_json:
        raise UserError("--markdown and --json are both given; each is a form of the whole answer, keep one of them.")
    limit = None if fail_over is None else parse_limit(fail_over)
    options = Options(
        gpu=gpu,
        gpus=None if gpus is None else whole("gpus", parse_count(gpus)),
        tokens=None if tokens is None else parse_count(tokens),
        precision=precision,
        layout=layout,
        price=price,
        date=date,
        isl=None if isl is None else parse_count(isl),
        osl=None if osl is None else parse_count(osl),
    )
    found = compared(side(a, options, planned), side(b, options, planned), limit)
    emit(found, as_json=as_json, html=html, lang=lang, card=card, markdown=markdown)
    raise typer.Exit(1 if found.over else 0)
