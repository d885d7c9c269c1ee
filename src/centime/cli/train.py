"""`centime train`: a recipe in, a model and its bill out."""

from __future__ import annotations

from pathlib import Path

import typer


def train(
    recipe: Path = typer.Argument(..., help="A recipe (.toml), or with --resume a run's folder."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Change a key of the recipe, such as train.lr=3e-4; may be repeated."
    ),
    out: Path = typer.Option(None, help="The run's folder; runs/NAME if left out.", file_okay=False),
    resume: bool = typer.Option(False, "--resume", help="Go on from the run's last checkpoint."),
    budget: str = typer.Option(
        None, help="Fit the stages under a time (10m), money ('$0.05') or tokens (2M-tokens), all stages together."
    ),
    price: str = typer.Option(None, help="Price per device-hour, such as '$0.10/h'; else the catalogue's."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON at the end (docs/train.md names its keys)."),
) -> None:
    """Train a model from a recipe: pretrain, context extension, sft, or reinforcement; metered to the device-second."""
    from centime.train.run import train as run_train
    from centime.tune.stage import every_kind

    done = run_train(recipe, settings, out, resume=resume, budget=budget, price=price, kinds=every_kind())
    if as_json:
        import json

        typer.echo(json.dumps(done.as_json(), indent=2))
    raise typer.Exit(done.code)
