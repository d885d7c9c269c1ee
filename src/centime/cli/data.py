"""`centime data`: text into token shards; check and describe them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from centime.cli.program.group import VerbGroup
from centime.units import format_bytes, format_count, plural

if TYPE_CHECKING:
    from centime.data.shards.prepare import Progress
    from centime.ledger import Spent

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)

SourceNames = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, quoted globs ('src/**/*.py'), - for standard input, or a Hub dataset: owner/name or "
        "hf://datasets/owner/name/GLOB. Text or code, .jsonl, .json (also .gz, .zst, .bz2, .xz), .parquet."
    ),
]
Exclude = Annotated[list[str] | None, typer.Option(help="A glob of paths to leave out; may be repeated.")]
Field = Annotated[str, typer.Option(help="The JSON key or parquet column that holds the text.")]
Separator = Annotated[
    str | None, typer.Option(help="What stands between documents in a text file, such as '<|endoftext|>'.")
]
Undecodable = Annotated[str, typer.Option(help="Text that is not UTF-8: strict (stop), replace or skip.")]
SkipBadLines = Annotated[
    int, typer.Option(help="Malformed JSON lines to leave out and count, at most; the next one is an error.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (the page of this verb in docs/ names its keys).")]
Price = Annotated[str | None, typer.Option(help="Price per device-hour, such as '$0.08/h'; else the catalogue's.")]


@app.callback()
def data() -> None:
    """Prepare text into token shards; check and describe them."""


@app.command()
def prepare(
    sources: SourceNames,
    tokenizer: Annotated[Path, typer.Option(help="Tokenizer folder (`centime tokenizer train` makes one).")],
    out: Annotated[Path, typer.Option(help="Folder to make: train/, holdout/ and tokenizer/ in it.")],
    fim: Annotated[float, typer.Option(help="Share of documents as fill-in-the-middle (DeepSeek-V3: 0.1).")] = 0.0,
    holdout: Annotated[float, typer.Option(help="Share of documents held out, by their content.")] = 0.01,
    workers: Annotated[int, typer.Option(help="Processes; 0: one per CPU. The result is the same for any.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the fill-in-the-middle cuts.")] = 0,
    exclude: Exclude = None,
    field: Field = "text",
    separator: Separator = None,
    undecodable: Undecodable = "strict",
    skip_bad_lines: SkipBadLines = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out.")] = False,
    price: Price = None,
    as_json: AsJson = False,
) -> None:
    """Tokenise SOURCES into memory-mapped shards with checksums and document boundaries."""
    from centime.data.display import source_bar
    from centime.data.metering import metered, spent_line
    from centime.data.shards.prepare import Preparation
    from centime.data.shards.prepare import prepare as run
    from centime.data.sources import Sources, read_options
    from centime.ledger.device import this_device

    with metered("data", out, price) as meter, source_bar("Tokenising") as bar:
        counted = 0

        def tell(done: Progress) -> None:
            nonlocal counted
            tokens = done.tokens + done.held_out_tokens
            meter.add(tokens=tokens - counted)
            counted = tokens
            bar.show(done.source_bytes, done.source_total, done.text_bytes, tokens)

        done = run(
            Sources(sources, read_options(field, separator, undecodable, skip_bad_lines), exclude or ()),
            tokenizer,
            out,
            Preparation(fim, holdout, seed, workers or this_device("cpu").vcpus),
            overwrite=overwrite,
            progress=tell,
        )
        spent = meter.spent()
    if as_json:
        typer.echo(json.dumps(done.as_json() | {"out": str(out)} | spent.as_json(), indent=2))
        return
    _summary(out, done, spent)
    typer.echo(spent_line(spent))


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="What `centime data prepare` made, or one split of it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tokens, documents and bytes per token of prepared data."""
    from rich.console import Console
    from rich.table import Table

    from centime.data.shards.describe import describe

    described = describe(folder)
    if as_json:
        typer.echo(json.dumps(described, indent=2))
        return
    table = Table("split", box=None, pad_edge=False)
    for heading in ("tokens", "documents", "text", "bytes/token", "median document", "longest", "shards"):
        table.add_column(heading, justify="right")
    for split in described["splits"]:
        table.add_row(
            split["split"],
            f"{split['tokens']:,}",
            f"{split['documents']:,}",
            format_bytes(split["bytes"]),
            f"{split['bytes_per_token']:.2f}" if split["tokens"] else "-",
            f"{split['median_document_tokens']:,}",
            f"{split['longest_document_tokens']:,}",
            str(split["shards"]),
        )
    Console().print(table)
    made = described["made"]
    typer.echo(
        f"Vocabulary {described['vocab_size']:,} ({described['dtype']}), "
        f"tokenizer {described['tokenizer_sha256'][:12]}; fill-in-the-middle {made.get('fim', 0)}, "
        f"held out {made.get('holdout', 0)}, seed {made.get('seed', 0)}."
    )
    if left_out := made.get("left_out"):
        typer.echo("Documents left out: " + ", ".join(f"{count:,} {why}" for why, count in sorted(left_out.items())))
    for note in made.get("notes", []):
        typer.echo(note)
    typer.echo(f"Made by centime {made.get('centime', '?')} from {' '.join(made.get('sources', []))}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="What `centime data prepare` made, or one split of it.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer or model folder it must have been made with.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every byte of prepared data and hold it against its checksums."""
    from centime.data.shards.describe import check as run

    sound = []
    for part in run(folder, tokenizer):
        sound.append(part)
        if not as_json:
            typer.echo(part.sentence())
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "sound": [part.as_json() for part in sound]}, indent=2))


def _summary(out: Path, done: Progress, spent: Spent) -> None:
    from centime.data.sources import tally

    for note in done.notes:
        typer.echo(note)
    if done.skipped:
        typer.echo(f"Documents left out: {tally(done.skipped)}")
    total = done.tokens + done.held_out_tokens
    seconds = spent.device_ns / 1e9
    typer.echo(
        f"{out}: {plural(done.tokens, 'token')} in {plural(done.documents, 'document')} to train on, "
        f"{done.held_out_tokens:,} in {done.held_out_documents:,} held out; "
        f"{done.text_bytes / total:.2f} bytes per token; "
        f"{format_bytes(done.text_bytes / seconds)}/s, {format_count(total / seconds)} tokens/s."
    )
    if done.held_out_documents == 0:
        typer.echo("Nothing was held out: raise --holdout, or split the text into more documents with --separator.")
