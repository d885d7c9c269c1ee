"""Fits the training planner's constants to published runs and writes src/centime/plan/step/constants.json.

    python scripts/fit_planner.py --runs A.csv B.csv           fit, leave groups out, report, write
    python scripts/fit_planner.py --runs A.csv B.csv --dry     the same, nothing written
    python scripts/fit_planner.py --runs A.csv --leave-out family     one line for every family left out
    python scripts/fit_planner.py --runs A.csv --hold-out B.csv       fit to A alone, judged by B

The report gives, for each file, errors within the fit and with whole (model, chip) cells, models, chips, families of
models and generations of chips left out of it (`fit_search`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from fit_samples import SEPARATOR, Sample, read_samples
from fit_search import NAMES, PRIOR, SPREAD, Fit, constants_of, left_out, misses
from widening import coverage, widening

from centime.plan.check.training import times_of
from centime.plan.step.efficiency import FILE
from centime.plan.step.intervals import KINDS, Errors, features

KEYS: dict[str, Callable[[Sample], str]] = {
    "cell": lambda s: s.cell,
    "model": lambda s: s.run.job.arch.name,
    "chip": lambda s: s.run.job.chip.name,
    "family": lambda s: s.family,
    "generation": lambda s: s.generation,
    "deepseek": lambda s: "DeepSeek's own rows" if s.row["group"] == "DeepSeek" else s.row["id"],
}
REPORTED = ("cell", "model", "chip", "family", "generation")


def summary(r: np.ndarray) -> dict[str, float]:
    """Errors of speeds, predicted / actual - 1."""
    errors = np.expm1(-r)
    return {
        "n": len(errors),
        "median_abs_error": float(np.median(np.abs(errors))),
        "p90_abs_error": float(np.quantile(np.abs(errors), 0.9)),
        "bias": float(np.median(errors)),
    }


def say(title: str, r: np.ndarray) -> None:
    """One line of a summary."""
    s = summary(r)
    print(
        f"{title:40s} n {s['n']:4d}   median {s['median_abs_error']:6.1%}   p90 {s['p90_abs_error']:6.1%}   "
        f"bias {s['bias']:+6.1%}"
    )


def report(samples: Sequence[Sample], inside: np.ndarray, outside: dict[str, np.ndarray]) -> None:
    """For every file, a line for what was seen and for each kind of group that was not."""
    files = np.array([sample.file for sample in samples])
    for name in dict.fromkeys(files):
        for kind, r in {"in the fit": inside, **{f"{kind} left out": r for kind, r in outside.items()}}.items():
            say(f"{name}: {kind}", r[files == name])


def errors_of(fit: Fit, outside: dict[str, np.ndarray]) -> Errors:
    """What the intervals know: where each run lies, and by how much fits missed it that had not seen its like."""
    best = constants_of(fit.x)
    cells, numbers = np.unique([sample.cell for sample in fit.samples], return_inverse=True)
    points = [features(run.job, run.layout, times_of(run, best)) for run in (sample.run for sample in fit.samples)]
    return Errors(
        tuple(tuple(round(float(value), 3) for value in point) for point in points),
        {kind: tuple(round(float(error), 4) for error in outside[kind]) for kind in KINDS},
        {
            "cell": tuple(map(str, numbers)),
            **{kind: tuple(KEYS[kind](sample) for sample in fit.samples) for kind in ("family", "generation")},
        },
        wider={},
        cells=tuple(tuple(cell.split(SEPARATOR)) for cell in cells),
    )


def write(path: Path, runs: Sequence[Path], fit: Fit, outside: dict[str, np.ndarray], known: Errors) -> None:
    """step/constants.json: constants with their priors, where they come from, left-out errors for the intervals."""
    best = constants_of(fit.x)
    content = {
        "what": "Constants of the training planner, fitted by scripts/fit_planner.py; see docs/plan-formulas.md",
        "fitted": date.today().isoformat(),
        "data": {
            "rows": len(fit.samples),
            "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in runs},
        },
        "in_the_fit": summary(fit.r[: len(fit.samples)]),
        **{f"{kind}_left_out": summary(r) for kind, r in outside.items()},
        "constants": {
            name: {"value": round(getattr(best, name), 5), "prior": float(prior), "spread": float(spread)}
            for name, prior, spread in zip(NAMES, PRIOR, SPREAD, strict=True)
        },
        "left_out": {
            "wider": known.wider,
            "features": known.points,
            **known.errors,
            **{f"{kind}_of": names for kind, names in known.groups.items()},
            "cells": known.cells,
        },
    }
    text = json.dumps(content, indent=1)
    text = re.sub(r"\[\s+([^\[\]]*?)\s+\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")


def say_deepseek(samples: Sequence[Sample], fit: Fit) -> None:
    """DeepSeek's own rows by a fit that saw none of them."""
    own = [sample for sample in samples if sample.row["group"] == "DeepSeek"]
    constants = fit.without([sample.row["group"] == "DeepSeek" for sample in samples])
    for sample in own:
        seconds = times_of(sample.run, constants).total
        off = seconds / sample.seconds - 1
        print(f"{sample.row['id']}: {seconds:.2f} s, published {sample.seconds:.2f} s ({off:+.1%})")


def main() -> None:
    """Parse the command line; fit, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="CSVs in the schema of training runs")
    parser.add_argument("--hold-out", type=Path, nargs="+", default=[], help="CSVs that judge a fit without them")
    parser.add_argument("--leave-out", choices=tuple(KEYS), help="a line for each group left out; nothing is written")
    parser.add_argument("--dry", action="store_true", help="report, and write nothing")
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args()
    samples = [sample for path in arguments.runs for sample in read_samples(path)]
    fit = Fit(samples)
    inside = fit.r[: len(samples)]
    if arguments.hold_out:
        say("in the fit", inside)
        for path in arguments.hold_out:
            held = read_samples(path)
            say(f"{path.name}: unseen", misses(held, constants_of(fit.x))[: len(held)])
        return
    if arguments.leave_out == "deepseek":
        say_deepseek(samples, fit)
        return
    if arguments.leave_out is not None:
        key = KEYS[arguments.leave_out]
        outside = left_out(fit, key)
        report(samples, inside, {arguments.leave_out: outside})
        for name in dict.fromkeys(map(key, samples)):
            say(f"  {name}"[:40], outside[np.array([key(sample) == name for sample in samples])])
        return
    found = {kind: left_out(fit, KEYS[kind]) for kind in REPORTED}
    report(samples, inside, found)
    known = errors_of(fit, found)
    known = replace(known, wider={kind: round(widening(known, kind), 3) for kind in KINDS[1:]})
    for kind in KINDS:
        covered, width = coverage(known, kind, [KEYS[kind](sample) for sample in samples])
        print(f"80 % intervals, {kind} left out: {covered:.1%} covered, {width:.1%} to either side")
    if not arguments.dry:
        write(arguments.out, arguments.runs, fit, found, known)
        print(f"Wrote {arguments.out}.")


if __name__ == "__main__":
    main()
