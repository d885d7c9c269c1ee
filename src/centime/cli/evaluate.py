"""`centime evaluate`: bits per byte of a model on held-out files beside gzip and xz, or its scores on tasks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from centime.cli.generate import AdapterFolder, DeviceName, Dtype, Model, PriceText

if TYPE_CHECKING:
    from centime.catalogue.prices import Price
    from centime.evaluate.harness.evaluation import HowToRun
    from centime.evaluate.harness.run import Question


def evaluate(
    model: Model,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Text files, or one folder of a prepared split (its holdout/).")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Tokens of context at most; else the model's, 4096 at most.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens a window advances; else half a window.")] = None,
    compressors: Annotated[bool, typer.Option(help="Compress the same bytes with gzip -9 and xz -9.")] = True,
    tasks: Annotated[
        str | None, typer.Option(help="Tasks of the lm-evaluation-harness in place of files: gsm8k,arc_easy,my.yaml.")
    ] = None,
    include: Annotated[Path | None, typer.Option(help="Folder with task files of your own, asked for by name.")] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="Examples before each document; else the task's.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Documents of each task at most.")] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Passes over tasks with written answers; from 2 on sampled as R1's were.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the first pass.")] = 0,
    chat: Annotated[bool, typer.Option("--chat", help="Ask through the tokenizer's chat template.")] = False,
    against: Annotated[
        Path | None, typer.Option(help="Another model, or the file of its results, to compare with by document.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the results; else one in the user's own folder.")] = None,
    adapter: AdapterFolder = None,
    device: DeviceName = None,
    dtype: Dtype = None,
    price: PriceText = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Bits per byte of MODEL on FILES, every byte predicted from what comes before it; or its scores on --tasks."""
    from centime.errors import UserError

    if tasks is not None:
        if files:
            raise UserError("--tasks brings its own texts; leave the files out, or --tasks.")
        os.environ.setdefault("TQDM_DISABLE", "1")  # bars of the harness; read as tqdm is imported
        from centime.cli.program.unfinished import usable
        from centime.evaluate.harness.evaluation import HowToRun
        from centime.evaluate.harness.run import Question

        names = tuple(dict.fromkeys(name.strip() for name in tasks.split(",") if name.strip()))
        if not names:
            raise UserError("--tasks names no task; give some, as in --tasks gsm8k,arc_easy.")
        question = Question(names, shots, limit, seeds, seed, chat, include)
        _tasks(usable(model), question, HowToRun(device, dtype, price, adapter), against, out, as_json)
        return
    of_tasks = {"--include": include, "--shots": shots, "--limit": limit, "--against": against, "--out": out}
    given = [name for name, value in of_tasks.items() if value is not None]
    given += [name for name, is_given in (("--seeds", seeds != 1), ("--seed", seed != 0), ("--chat", chat)) if is_given]
    if given:
        raise UserError(f"{given[0]} goes with --tasks; without it, bits per byte of files are asked for.")
    if not files:
        raise UserError("no files and no --tasks; give text files to predict, or tasks to answer.")
    from rich.console import Console
    from rich.progress import Progress

    from centime.catalogue.prices import ask_for_price, price_for
    from centime.cli.program.unfinished import usable
    from centime.evaluate.bits_per_byte import bits_per_byte, read_files, read_split
    from centime.evaluate.comparison import CompressorComparison, own_bytes
    from centime.evaluate.compressors import compress
    from centime.plan.counts import count
    from centime.serve.loading import load_model, metered
    from centime.units import format_duration, format_money, plural

    opened = load_model(usable(model), device, dtype, adapter)
    if len(files) == 1 and files[0].is_dir():
        text, contents = read_split(files[0], opened.tokenizer)
    else:
        text, contents = read_files(files, opened.tokenizer)
    found = price_for(opened.device, price)
    show = Progress(console=Console(stderr=True), transient=True)
    with metered("evaluate", opened, found) as meter, show:
        task = show.add_task("Bits per byte", total=text.tokens)
        outcome = bits_per_byte(
            opened.model,
            text,
            window=window,
            stride=stride,
            progress=lambda charged, total: show.update(task, completed=charged, total=total),
        )
        forward = count(opened.model.config, outcome.window).forward_flops_per_token
        meter.add(tokens=outcome.computed_tokens, flops=outcome.computed_tokens * forward)
        spent = meter.spent()
    result = CompressorComparison(
        outcome, compress(contents) if compressors else [], *own_bytes(opened.folder, opened.tokenizer.folder)
    )
    if as_json:
        typer.echo(json.dumps(result.as_json() | spent.as_json()))
        return
    console = Console()
    console.print(result.table())
    if compressors:
        console.print(result.verdict(), highlight=False)
    console.print(
        f"{plural(outcome.tokens, 'token')} of {plural(outcome.documents, 'document')}, each predicted from at most "
        f"{outcome.window:,} before it, in windows that advance by {outcome.stride:,}; "
        f"{outcome.nats_per_token:.3f} nats per token.",
        highlight=False,
    )
    money = ask_for_price(opened.device)
    if found is not None and spent.cost is not None:
        money = f"{format_money(spent.cost, found.currency)} (price {found.kind}, of {found.date})"
    typer.echo(f"Spent {format_duration(spent.device_ns / 1e9)} of {opened.device}; {money}.", err=True)


def _tasks(
    model: Path, question: Question, machine: HowToRun, against: Path | None, out: Path | None, as_json: bool
) -> None:
    """Scores, compared where asked for, and kept."""
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from centime.evaluate.harness.evaluation import evaluate_folder
    from centime.evaluate.harness.kept import keep, place_for, read, results_file
    from centime.evaluate.harness.show import differences_table, scores_table

    if out is not None:
        results_file(out, [] if against is None else [against]).require_writable()
    other = None if against is None or against.is_dir() else read(against)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as show:
        line = show.add_task("Tasks")

        def asked(requests: int) -> None:
            show.update(line, description=f"Tasks: {requests:,} requests answered")

        results, price = evaluate_folder(model, question, machine, asked)
        keep(results, out or place_for(results))
        if against is not None and other is None:
            other, _ = evaluate_folder(against, question, replace(machine, adapter=None), asked)
            keep(other, place_for(other))
    if as_json:
        compared = {} if other is None else {"against": other.as_json()}
        typer.echo(json.dumps(results.as_json() | compared, ensure_ascii=False))
        return
    console = Console()
    console.print(scores_table(results))
    if other is not None:
        console.print(differences_table(results, other))
        if other.question != results.question:
            apart = _asked_differently(results.question, other.question)
            typer.echo(f"Asked differently, which may be all of the difference: {apart}.")
    typer.echo(f"Kept in {out or place_for(results)}.")
    typer.echo(_spent_line(results.spent, price), err=True)


def _asked_differently(first: dict[str, object], second: dict[str, object]) -> str:
    return "; ".join(
        f"{name} {first.get(name)} and {second.get(name)}" for name in first if first.get(name) != second.get(name)
    )


def _spent_line(spent: dict[str, object], price: Price | None) -> str:
    """What all answers took."""
    from centime.units import format_duration, format_money

    money = "no price known"
    if price is not None and spent["cost"] is not None:
        money = f"{format_money(float(str(spent['cost'])), price.currency)} (price {price.kind}, of {price.date})"
    read, cached = int(str(spent["prompt_tokens"])), int(str(spent["cached_tokens"]))
    return (
        f"{int(str(spent['requests'])):,} requests: {read:,} tokens read, {cached:,} of them cached, "
        f"{int(str(spent['output_tokens'])):,} written. "
        f"Spent {format_duration(int(str(spent['device_ns'])) / 1e9)} of {spent['device']}; {money}."
    )
