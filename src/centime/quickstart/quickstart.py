"""The quickstart, step by step: text, tokenizer, training, samples, bits per byte, sums, the bill."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from centime.catalogue.prices import price_for
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.evaluate.arithmetic import Marks, Sum, mark
from centime.evaluate.bits_per_byte import bits_per_byte, read_files
from centime.evaluate.comparison import CompressorComparison, own_bytes
from centime.evaluate.compressors import compress
from centime.ledger import Book, Meter, default_book_path
from centime.ledger.billing import bill_of, table_of
from centime.ledger.device import this_device
from centime.model import Transformer
from centime.model.checkpoint import load, save
from centime.plan.counts import count
from centime.quickstart.corpus import SMALLEST, Corpus, corpus, standard_library
from centime.quickstart.materials import TOP, free_folder, make_recipe, make_shards, make_sums, make_tokenizer
from centime.quickstart.stage import before_sft
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.session import Session
from centime.train.forecast import parse_budget
from centime.train.report import write_report
from centime.train.run import Setup, TrainingRun
from centime.units import format_bytes

SMOKE_BYTES, SMOKE_SUMS = 20_000, 20  # CENTIME_SMOKE=1: the same path, little text
PROMPTS = ("def main(", "class Node:\n    def __init__(self, ", "import os\n")


def quickstart(
    wanted: Path, budget: str | None, text: Path | None, price_text: str | None, *, as_json: bool = False
) -> tuple[int, dict[str, Any]]:
    """Runs all of it in `wanted` (or its next free neighbour) and prints what came out; the exit code, and the same
    as JSON values (docs/quickstart.md names the keys).

    as_json: standard output is the JSON's, so print on standard error. budget: a ceiling on the training alone, as
    `centime train --budget` takes it. text: a folder to learn from instead of the standard library. Raises UserError
    where the user can mend something.
    """
    smoke = os.environ.get("CENTIME_SMOKE") == "1"
    out = Console(stderr=as_json, highlight=False, markup=False, soft_wrap=True)
    device = this_device()
    price = price_for(device, price_text)
    if budget is not None:
        parse_budget(budget).seconds(price, 1)
    found = corpus(text) if text is not None else standard_library()
    if smoke:
        found = found.of_at_most(SMALLEST)
    with free_folder(wanted) as folder, Book(default_book_path()) as book:
        with Meter(book, run=folder, verb="quickstart", stage="tokenizer", device=device, price=price) as meter:
            out.print(
                f"Text: {found.root}, {len(found.train)} files to learn from ({format_bytes(found.train_bytes)}), "
                f"{len(found.held_out)} held out ({format_bytes(found.held_out_bytes)})."
            )
            tokenizer = load_tokenizer(make_tokenizer(found, folder))
            meter.stage("data")
            tokens, _ = make_shards(found, tokenizer.folder, folder)
            problems = make_sums(folder)
            meter.add(tokens=tokens)
            out.print(
                f"Tokenizer: {tokenizer.vocab_size:,} ids, {found.train_bytes / tokens:.2f} bytes a token; "
                f"{tokens:,} tokens to learn from."
            )
            setup = Setup(make_recipe(folder, evaluate_rows=1 if smoke else 8), folder, False, budget, price_text)
            outcome = TrainingRun(setup).go()
            if outcome.signal is not None:
                out.print(
                    f"Stopped by {outcome.signal.name} and saved; go on with: {command()} train {folder} --resume"
                )
                return 128 + outcome.signal, {"run": str(folder), "stopped_by": outcome.signal.name}
            save(before_sft(folder), folder / "base", tokenizer.folder, dtype=setup.dtype)
            base, model = load(folder / "base"), load(folder / "model")
            meter.stage("generate")
            samples = show_samples(out, base, tokenizer, meter)
            meter.stage("evaluate")
            bits = show_bits(out, base, tokenizer, found, folder / "base", meter, SMOKE_BYTES if smoke else None)
            marks = show_sums(out, base, model, tokenizer, problems[: SMOKE_SUMS if smoke else None], meter)
        made = bill_of(book, str(folder))  # all of it: the meter is closed
        out.print(table_of(made))
        report = write_report(folder, made.as_json())
        out.print(f"Curves, expert load, samples: {report}, for a browser.\n")
    out.print(next_steps(folder))
    return 0, {
        "run": str(folder),
        "stopped_by": None,
        "base": str(folder / "base"),
        "model": str(folder / "model"),
        "report": str(report),
        "samples": samples,
        "bits_per_byte": bits.as_json(),
        "sums": {name: {"right": one.right, "of": one.total} for name, one in marks.items()},
        "bill": made.as_json(),
    }


def show_samples(out: Console, model: Transformer, tokenizer: Tokenizer, meter: Meter) -> list[dict[str, str]]:
    """A continuation of each prompt, printed and returned."""
    samples = []
    out.rule("What it writes, before sft")
    session = Session(model, tokenizer)
    for prompt in PROMPTS:
        ids = [*([] if tokenizer.bos_id is None else [tokenizer.bos_id]), *tokenizer.encode(prompt)]
        answer = session.answer(ids, SamplingParams(max_tokens=48, temperature=0.6, top_p=0.95, seed=0))
        _book(meter, model, answer.prompt_tokens + len(answer.tokens))
        out.print(f"{prompt}{answer.text}\n")
        samples.append({"prompt": prompt, "text": answer.text})
    return samples


def show_bits(
    out: Console, model: Transformer, tokenizer: Tokenizer, found: Corpus, folder: Path, meter: Meter, most: int | None
) -> CompressorComparison:
    """Bits per byte on the held-out files as one text, beside gzip -9 and xz -9 of the same bytes."""
    out.rule("How well it predicts code it has not seen, before sft")
    files: list[Path] = []
    left = most if most is not None else found.held_out_bytes
    for path in found.held_out:
        if not files or path.stat().st_size <= left:
            files.append(path)
            left -= path.stat().st_size
    text, contents = read_files(files, tokenizer)
    outcome = bits_per_byte(model, text)
    _book(meter, model, outcome.computed_tokens)
    comparison = CompressorComparison(outcome, compress(contents), *own_bytes(folder, folder))
    out.print(comparison.table())
    out.print(comparison.verdict() + "\n")
    return comparison


def show_sums(
    out: Console, before: Transformer, after: Transformer, tokenizer: Tokenizer, problems: list[Sum], meter: Meter
) -> dict[str, Marks]:
    """Exact answers to sums it was never trained on, before and after sft."""
    out.rule(f"Sums of two numbers up to {TOP} that it has not seen")
    table = Table("", "right", "of", box=None, pad_edge=False)
    marks: list[Marks] = []
    for name, model in (("before sft", before), ("after sft", after)):
        marks.append(mark(model, tokenizer, problems))
        _book(meter, model, marks[-1].prompt_tokens + marks[-1].generated_tokens)
        table.add_row(name, f"{marks[-1].right} ({100 * marks[-1].accuracy:.3g} %)", str(marks[-1].total))
    out.print(table)
    examples = [
        f"{prompt} = {got!r}{'' if got == expected else f' (it is {expected})'}"
        for prompt, expected, got in marks[1].examples[:3]
    ]
    out.print("For example: " + "; ".join(examples) + ".")
    out.print("Sums are now all it knows: what it had learnt of code is in base/, the model before sft.\n")
    return {"before_sft": marks[0], "after_sft": marks[1]}


def _book(meter: Meter, model: Transformer, tokens: int) -> None:
    """Books forward passes over `tokens`."""
    meter.add(tokens=tokens, flops=tokens * count(model.config, min(tokens, 1024)).forward_flops_per_token)


def command() -> str:
    """How the user calls centime: by its name where the shell finds it, else by its path."""
    return "centime" if shutil.which("centime") else os.path.relpath(sys.argv[0])


def next_steps(folder: Path) -> str:
    """Three commands worth trying now."""
    centime = command()
    return (
        "Try next:\n"
        f"  {centime} generate {folder}/base --prompt 'def read('\n"
        f"  {centime} generate {folder} --chat --prompt '1 2 + 3 4'\n"
        f"  {centime} train {folder}/recipe.toml --out {folder.with_name('longer')} --set train.tokens=10M --budget 15m"
    )
