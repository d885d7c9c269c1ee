"""A run that is not finished where a verb takes a model: its newest checkpoint stands in, and a note says so."""

from __future__ import annotations

from pathlib import Path


def usable(path: Path) -> Path:
    """`path`, or the model folder of the newest checkpoint where it is a run without a model."""
    if not (path / "checkpoints").is_dir() and not path.name.startswith("step-"):
        return path  # most are no runs, and need nothing of training
    import typer

    from centime.train.folder.as_model import usable as usable_model

    return usable_model(path, lambda text: typer.echo(f"Note: {text}", err=True))
