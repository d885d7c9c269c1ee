"""`centime model`: what a model is and what a token of it costs, from its configuration alone."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from centime.cli.program.group import VerbGroup
from centime.errors import UserError
from centime.units import format_bytes, format_count, format_flops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from centime.catalogue.architecture import Architecture, Encoder, ExpertsSpec, FeedForwardSpec, Mixer
    from centime.catalogue.model_config import ModelConfig
    from centime.plan.counts import Counts

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def model() -> None:
    """Show what a model is and costs per token, without allocating a weight."""


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A name (centime-d4, deepseek-v3, Qwen/Qwen3-8B, ...), or a folder with config.json.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    sequence: Annotated[int, typer.Option(help="Tokens per sequence, for the attention's FLOPs.", min=1)] = 4096,
    dense: Annotated[bool, typer.Option(help="Show the dense model with equal FLOPs per token instead.")] = False,
) -> None:
    """Parameters, FLOPs per token and KV bytes per token of a model, and every size they follow from."""
    from centime.catalogue.models import architecture
    from centime.plan.counts import count
    from centime.plan.counts.baseline import dense_baseline

    config = _buildable(name)
    arch = architecture(name)
    title = name
    if dense:
        if config is None:
            raise UserError(f"--dense is for models that centime builds, and {name} is none; leave it out.")
        config, title = dense_baseline(config, sequence), f"dense baseline of {name}"
    counts = count(config if dense and config is not None else arch, sequence)
    stored = None if dense else _stored_bytes(name)
    sizes = {"config": config.model_dump()} if config is not None else {"architecture": asdict(arch)}
    if as_json:
        files = {} if stored is None else {"stored_bytes": stored}
        typer.echo(json.dumps({"name": title, **sizes, "counts": counts.to_json(), **files}, indent=2))
        return
    console = Console()
    console.print(_figures(title, counts, () if dense else arch.encoders, stored))
    console.print(_parts(counts))
    console.print(_sizes(config) if config is not None else _layers(arch))
    for assumption in arch.assumptions if not dense else ():
        console.print(f"{assumption}.", markup=False, highlight=False)


def _buildable(name: str) -> ModelConfig | None:
    """The configuration of a model that centime builds: a preset's, or a folder's of a family that it computes."""
    from centime.catalogue.hf import holds_model, model_folder, read
    from centime.catalogue.presets import names, preset

    folder = Path(name)
    if not holds_model(folder):
        return preset(name) if name in names() else None
    try:
        return read(model_folder(folder))[0]
    except UserError:  # it can be planned, if not built; what it cannot be read for at all, the planner says
        return None


@app.command("list")
def list_names(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Every model known by name: those that centime builds, then those that it plans."""
    from centime.catalogue.models import architecture, names
    from centime.catalogue.presets import names as presets
    from centime.plan.counts import count

    rows = {name: count(architecture(name)) for name in (*presets(), *names())}
    if as_json:
        typer.echo(json.dumps({name: counts.to_json() for name, counts in rows.items()}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("model", min_width=max(map(len, rows)))
    for heading in ("total", "active", "training", "KV cache"):
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
    typer.echo("Training: FLOPs per token in sequences of 4,096, without MTP. KV cache: bytes per token in bf16.")


def _stored_bytes(name: str) -> int | None:
    """Bytes of the files of weights in a model's folder; None where `name` is no folder, or one without weights."""
    from centime.catalogue.hf import holds_model, model_folder

    if not holds_model(Path(name)):
        return None
    return sum(file.stat().st_size for file in model_folder(Path(name)).glob("*.safetensors")) or None


def _figures(title: str, counts: Counts, encoders: Sequence[Encoder], stored: int | None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    table.add_column(style="dim")

    def row(label: str, value: str, note: str = "") -> None:
        table.add_row(label, value, note)

    active = f"{format_count(counts.active_params_without_embedding, 4)} without the input embedding"
    row("total parameters", format_count(counts.total_params, 4), f"{format_bytes(2 * counts.total_params)} in bf16")
    if stored is not None:
        row("weights in the folder", format_bytes(stored), f"{8 * stored / counts.total_params:.2f} bits a parameter")
    row("active per token", format_count(counts.active_params, 4), active)
    if counts.mtp_params:
        row(
            "MTP modules",
            format_count(counts.mtp_params),
            f"{format_count(counts.mtp_active_params)} active, not in the above",
        )
    for one in encoders:
        counted = "not counted" if one.parameters is None else format_count(one.parameters, 4)
        row(one.part, counted, "an encoder, not in the above")
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


def _absent(config: ModelConfig) -> list[str]:
    """Settings of parts that the model has not got: of experts, or of the other kind of attention."""
    plain = ["num_key_value_heads", "qkv_bias", "out_bias", "qk_norm"]
    experts = [
        *("moe_intermediate_size", "num_experts_per_tok", "first_k_dense_replace", "moe_layer_freq", "scoring_func"),
        *("topk_method", "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor", "n_shared_experts"),
    ]
    return [*(plain if config.is_mla else []), *(experts if config.n_routed_experts is None else [])]


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
        for field, value in config.model_dump(exclude={"rope_scaling", *_absent(config)}).items()
        if value is not None
    ]
    if (scaling := config.rope_scaling) is not None:
        kind = {"yarn": "YaRN", "llama3": "Llama 3's scaling", "linear": "linear scaling"}[scaling.rope_type]
        original = getattr(scaling, "original_max_position_embeddings", None)
        cells.append((kind, f"x{scaling.factor:g}{f' of {original:,}' if original else ''}"))
    half = (len(cells) + 1) // 2
    for left, right in zip(cells[:half], [*cells[half:], ("", "")], strict=False):
        table.add_row(*left, *right)
    return table


def _layers(arch: Architecture) -> Table:
    """Every kind of layer with its sizes, of a model that centime plans and does not build."""
    table = Table(title="\nlayers", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("", "mixer", "feed-forward"):
        table.add_column(heading, justify="right" if not heading else "left", overflow="fold")
    for block in arch.blocks:
        table.add_row(f"{block.repeat} x", _stated(block.mixer), _stated(block.feed_forward))
    table.add_row("", f"hidden {arch.hidden:,}", f"vocabulary {arch.vocab:,}{', tied' if arch.tied else ''}")
    return table


def _stated(part: Mixer | FeedForwardSpec | ExpertsSpec | None) -> str:
    """A part of a layer: its kind, and every size that is not its default."""
    if part is None:
        return "none"
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(part).__name__.removesuffix("Spec")).lower()
    stated = [
        one.name.replace("_", " ") if value is True else f"{one.name.replace('_', ' ')} {value:,}"
        for one in fields(part)
        if (value := getattr(part, one.name)) not in (None, False, one.default)
    ]
    return f"{kind}: {', '.join(stated)}"
