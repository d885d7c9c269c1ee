"""`centime tokenizer train`: a tokenizer of your text."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from centime.cli.data import AsJson, Exclude, Field, Price, Separator, SkipBadLines, SourceNames, Undecodable
from centime.units import format_bytes, parse_count, plural


def train(
    sources: SourceNames,
    out: Annotated[Path, typer.Option(help="Folder to make: tokenizer.json and tokenizer_config.json.")],
    vocab_size: Annotated[int, typer.Option(help="Ids in all, special tokens included (DeepSeek-V3: 128815).")] = 8192,
    limit: Annotated[
        str, typer.Option(help="Text to train on at most, in bytes, such as 500M; documents are taken evenly from all.")
    ] = "1G",
    holdout: Annotated[
        float,
        typer.Option(help="Leave out the documents that `centime data prepare --holdout` of this share holds out."),
    ] = 0.01,
    exclude: Exclude = None,
    field: Field = "text",
    separator: Separator = None,
    undecodable: Undecodable = "strict",
    skip_bad_lines: SkipBadLines = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out.")] = False,
    price: Price = None,
    as_json: AsJson = False,
) -> None:
    """Train a byte-level BPE in DeepSeek-V3's form on SOURCES."""
    from centime.data.display import source_bar
    from centime.data.metering import metered, spent_line
    from centime.data.sources import Sources, read_options
    from centime.data.tokenizers.training import train_on_sources

    with metered("tokenizer", out, price) as meter, source_bar("Reading") as bar:
        done = train_on_sources(
            Sources(sources, read_options(field, separator, undecodable, skip_bad_lines), exclude or ()),
            vocab_size,
            out,
            limit=int(parse_count(limit)),
            holdout=holdout,
            overwrite=overwrite,
            bar=bar,
        )
        spent = meter.spent()
    if as_json:
        typer.echo(json.dumps(asdict(done) | {"out": str(out)} | spent.as_json(), indent=2))
        return
    for note in done.notes:
        typer.echo(note)
    typer.echo(
        f"{out}: {done.vocab_size:,} ids from {format_bytes(done.text_bytes)} of text in "
        f"{plural(done.documents, 'document')}."
    )
    if done.vocab_size < vocab_size:
        typer.echo(f"The text had no more pairs to merge: {vocab_size:,} ids were asked for. More text gives more.")
    typer.echo(spent_line(spent))
