"""`centime model`: what a model is and what a token of it costs, from its configuration alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from centime.cli.program.group import VerbGroup
from centime.units import format_bytes, format_count, format_flops

if TYPE_CHECKING:
    from centime.catalogue.model_config import ModelConfig
    from centime.plan.counts import Counts

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def model() -> None:
    """Show what a model is and costs per token, without allocating a weight."""


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name (centime-d4, deepseek-v3, ...) or a model or run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    sequence: Annotated[int, typer.Option(help="Tokens per sequence, for the attention's FLOPs.", min=1)] = 4096,
    dense: Annotated[bool, typer.Option(help="Show the dense model with equal FLOPs per token instead.")] = False,
) -> None:
    """Parameters, FLOPs per token and KV bytes per token of a model, and every size they follow from."""
    from centime.catalogue.hf import holds_model, model_folder, read
    from centime.catalogue.presets import preset
    from centime.plan.counts import count
    from centime.plan.counts.baseline import dense_baseline

    folder = Path(name)
    config = read(model_folder(folder))[0] if os.path.isdir(folder) or holds_model(folder) else preset(name)
    title = name
    if dense:
        config, title = dense_baseline(config, sequence), f"dense baseline of {name}"
    counts = count(config, sequence)
    if as_json:
        typer.echo(json.dumps({"name": title, "config": config.model_dump(), "counts": counts.to_json()}, indent=2))
        return
    console = Console()
    console.print(_figures(title, counts))
    console.print(_parts(counts))
    console.print(_sizes(config))


@app.command("list")
def list_names(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Every model known by name."""
    from centime.catalogue.presets import names, preset
    from centime.plan.counts import count

    rows = {name: count(preset(name)) for name in names()}
    if as_json:
        typer.echo(json.dumps({name: counts.to_json() for name, counts in rows.items()}, indent=2))
        return
    table = Table("model", box=None, pad_edge=False)
    for heading in ("total", "active", "training, per token", "KV bytes/token"):
        table.add_column(heading, justify="right")
    for name, counts in rows.items():
        table.add_row(
            name,
            format_count(counts.total_params),
            format_count(counts.active_params),
            format_flops(counts.train_flops_per_token),
            f"{counts.kv_bytes_per_token:,}",
        )
    Console().print(table)
    typer.echo("Training FLOPs in sequences of 4,096 tokens, without MTP; KV cache in bf16.")


def _figures(title: str, counts: Counts) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    table.add_column(style="dim")

    def row(label: str, value: str, note: str = "") -> None:
        table.add_row(label, value, note)

    active = f"{format_count(counts.active_params_without_embedding, 4)} without the input embedding"
    row("total parameters", format_count(counts.total_params, 4), f"{format_bytes(2 * counts.total_params)} in bf16")
    row("active per token", format_count(counts.active_params, 4), active)
    if counts.mtp_params:
        row(
            "MTP modules",
            format_count(counts.mtp_params),
            f"{format_count(counts.mtp_active_params)} active, not in the above",
        )
    share = counts.attention_train_flops_per_token / counts.train_flops_per_token
    note = f"in sequences of {counts.sequence_length:,}; {share:.0%} is attention"
    row("training, per token", format_flops(counts.train_flops_per_token), note)
    if counts.mtp_params:
        row("  with MTP", format_flops(counts.train_flops_per_token_with_mtp))
    row("forward, per token", format_flops(counts.forward_flops_per_token), "causal attention counted once")
    row("KV cache, per token", f"{counts.kv_bytes_per_token:,} B", f"{counts.kv_elements_per_token:,} numbers in bf16")
    return table


def _parts(counts: Counts) -> Table:
    table = Table(
        title="\nwhere the parameters are", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    table.add_column("part", style="cyan")
    table.add_column("total", justify="right")
    table.add_column("active", justify="right")
    for name, part in counts.parts.items():
        table.add_row(name, format_count(part.total), format_count(part.active))
    return table


def _sizes(config: ModelConfig) -> Table:
    table = Table(
        title="\nsizes", title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
    )
    for _ in range(2):
        table.add_column(style="cyan")
        table.add_column(justify="right")
    cells = [
        (
            field,
            str(value).lower() if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) else str(value),
        )
        for field, value in config.model_dump(exclude={"rope_scaling"}).items()
        if value is not None
    ]
    if config.rope_scaling is not None:
        yarn = config.rope_scaling
        cells.append(("YaRN", f"x{yarn.factor:g} of {yarn.original_max_position_embeddings:,}"))
    half = (len(cells) + 1) // 2
    for left, right in zip(cells[:half], [*cells[half:], ("", "")], strict=False):
        table.add_row(*left, *right)
    return table
