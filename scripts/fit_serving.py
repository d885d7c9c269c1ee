"""Fits the serving planner's constants to published runs, and says how far off they are on runs that they never saw.

    python scripts/fit_serving.py serving_silicon.csv serving_new.csv serving_runs.csv --operators DATA [--write]

Minimises sum(huber(log(predicted / actual))) + sum(((constant - prior) / spread)^2) by Gauss-Newton: robust, and
regularised towards the priors of plan/serving/speeds.py and serving_terms.py (partial pooling: what no row speaks of
stays at its prior). Then every (model, chip, engine) cell, every model and every chip is left out in turn, and the
errors on what was left out are reported by file; they give the intervals. Cells are weighted so that a long sweep does
not outvote single runs, and rows that state the same load and differ are left to judge, not to fit: something that made
them differ is not told. Operators (operator_samples.py) are fitted to beside the rows and never judged alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from operator_samples import OperatorSample, read_operator_samples
from serving_errors import coverage, intervals, report
from serving_samples import LEVELS, ServingSample, read_serving_samples
from serving_terms import TERMS

from centime.plan.serving.speeds import BASES, CONSTANTS, GROUPS, ServingConstants, terms

NOISE = 0.08  # the spread of a row's logarithm that the model is not meant to follow
NOISE_FIRST = 0.5  # the same of a time to first token
NOISE_OPERATOR = 0.4  # the same of a single operator, whose time steps with its shape
HUBER = 1.5  # in units of the noise; beyond it a row pulls with constant force
REWEIGHTED = 8  # steps of a reweighted fit
ROUNDS = 8  # of Gauss-Newton
CONTRADICTED = 0.14  # difference of logarithms between rows of one load, from which on none of them is fitted to
SWEEP = 40  # samples of a cell that are fitted to: more of one sweep add time and no information
DAMPING = (0.0, 0.1, 1.0, 10.0)  # of steps that are tried, times what a constant weighs by itself
STEP = 0.03  # of a numerical derivative, in logarithms
# What two rows of the same load have in common.
LOAD = (
    "model",
    "precision",
    "gpu",
    "n_gpus",
    "engine",
    "config",
    "isl",
    "osl",
    "concurrency_or_batch",
    "tok_s_per_user",
    "date",
)
_forked: dict[str, Callable[[Any], Any]] = {}  # what `in_parallel` has its processes do
IMPOSSIBLE = 3.0  # what a row that the constants make impossible counts as off by


def in_parallel(work: Callable[[Any], Any], of: Sequence[Any]) -> list[Any]:
    """`work` of each, in processes that are forked here, so that only what it is asked of and answers is passed on."""
    _forked["work"] = work
    with multiprocessing.get_context("fork").Pool() as pool:
        return pool.map(_do, of, chunksize=1)


def _do(one: Any) -> Any:
    return _forked["work"](one)


def priors() -> dict[str, float]:
    """What the constants are before any measurement."""
    found = {name: math.log(mean) for name, (mean, _, _) in BASES.items()}
    return found | {name: mean for name, (mean, _) in TERMS.items()}


class Fit:
    """Samples, constants and their derivatives."""

    def __init__(self, paths: list[Path], operators: Path | None) -> None:
        self.names = [*BASES, *TERMS]
        start = priors()
        self.prior = np.array([start[n] for n in self.names])
        self.spread = np.array([BASES[n][1] if n in BASES else TERMS[n][1] for n in self.names])
        self.samples: list[ServingSample | OperatorSample] = [*read_serving_samples(paths, ServingConstants(start))]
        self.samples += read_operator_samples(operators) if operators else []
        self.actual = np.array([one.actual for one in self.samples])
        noises = {"ttft_ms": NOISE_FIRST, "operator": NOISE_OPERATOR}
        self.noise = np.array([noises.get(one.target, NOISE) for one in self.samples])
        self.of_servers = np.array([isinstance(one, ServingSample) for one in self.samples])
        self.groups = {level: np.array([one.group(level) for one in self.samples]) for level in LEVELS}
        sizes = Counter(zip(self.groups["cell"], self.noise, strict=True))
        self.weight = np.array([sizes[key] ** -0.5 for key in zip(self.groups["cell"], self.noise, strict=True)])
        self.thinned = np.flatnonzero(self._kept())
        self.chain = self._chain()

    def _kept(self) -> np.ndarray:
        """Which samples are fitted to: of a cell of more than SWEEP, every n-th, with the weight of all."""
        keep = np.zeros(len(self.samples), dtype=bool)
        clear = ~self._contradicted()
        for key in set(zip(self.groups["cell"], self.noise, strict=True)):
            own = np.flatnonzero((self.groups["cell"] == key[0]) & (self.noise == key[1]) & clear)
            if not len(own):
                continue
            own = own[np.argsort(self.actual[own], kind="stable")]
            every = max(1, round(len(own) / SWEEP))
            keep[own[::every]] = True
            self.weight[own] *= every
        return keep

    def _contradicted(self) -> np.ndarray:
        """Which samples others of the same load gainsay."""
        loads: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, one in enumerate(self.samples):
            loads[(one.target, *(one.row[name] for name in LOAD))].append(i)
        found = np.zeros(len(self.samples), dtype=bool)
        for own in loads.values():
            found[own] = np.ptp(self.actual[own]) > CONTRADICTED
        return found

    def _chain(self) -> np.ndarray:
        """d(effective base) / d(constant), [samples, bases, constants]: a term moves the bases of its group."""
        bases = list(BASES)
        found = np.zeros((len(self.samples), len(bases), len(self.names)), dtype=np.float32)
        found[:, range(len(bases)), range(len(bases))] = 1.0
        for i, one in enumerate(self.samples):
            for term, weight in terms(one.case.chips[0][0], one.case.software).items():
                for group, acted_on in GROUPS.items():
                    if (name := f"{term}.{group}") in TERMS:
                        for base in acted_on:
                            found[i, bases.index(base), self.names.index(name)] += weight
        return found

    def predict(self, theta: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
        """Logarithms of the predictions, of all samples or those of the indices `of`."""
        values = ServingConstants(zip(self.names, theta, strict=True))
        which = range(len(self.samples)) if of is None else of
        found = [self.samples[i].predict(values) for i in which]
        return np.array([self.actual[i] - IMPOSSIBLE if f is None else f for i, f in zip(which, found, strict=True)])

    def jacobian(self, theta: np.ndarray, base: np.ndarray) -> np.ndarray:
        """d predict / d theta of what is fitted to: differences of the bases, and the chain rule for the terms."""
        moved = [theta + STEP * (np.arange(len(theta)) == i) for i in range(len(BASES))]
        there = in_parallel(partial(self.predict, of=self.thinned), moved)
        columns = [np.clip((found - base[self.thinned]) / STEP, -3, 3) for found in there]
        found = np.zeros((len(self.samples), len(self.names)))
        found[self.thinned] = np.einsum("sb,sbc->sc", np.array(columns).T, self.chain[self.thinned])
        return found

    def linearised(
        self, theta: np.ndarray, base: np.ndarray, slope: np.ndarray, keep: np.ndarray, damping: float = 0.0
    ) -> np.ndarray:
        """The constants that fit the samples of `keep` best where predictions were straight lines about `theta`.

        Huber's loss by reweighting: a residual beyond HUBER pulls as hard as one at it. damping: Levenberg and
        Marquardt's, by which each constant stays the nearer to `theta`.
        """
        move = np.zeros_like(theta)
        for _ in range(REWEIGHTED):
            residual = (self.actual - base - slope @ move) / self.noise
            robust = self.weight * keep / np.maximum(1.0, np.abs(residual) / HUBER)
            lhs = slope.T @ (slope * (robust / self.noise**2)[:, None]) + np.diag(self.spread**-2)
            lhs += damping * np.diag(np.diag(lhs))
            pull = (theta + move - self.prior) / self.spread**2
            pull = pull + damping * np.diag(lhs) / (1 + damping) * move  # the step in all is damped, not each of these
            move = move + np.linalg.solve(lhs, slope.T @ (robust * residual / self.noise) - pull)
        return theta + move

    def loss(self, theta: np.ndarray, base: np.ndarray, keep: np.ndarray | None = None) -> float:
        """What is minimised: over all that is fitted to, or of these what `keep` marks."""
        r = np.abs(self.actual - base) / self.noise
        huber = np.where(r < HUBER, r**2, HUBER * (2 * r - HUBER)) * (1.0 if keep is None else keep)
        return float((self.weight * huber)[self.thinned].sum() + (((theta - self.prior) / self.spread) ** 2).sum())

    def tried(self, theta: np.ndarray, base: np.ndarray) -> np.ndarray:
        """`base` with the predictions at `theta` where they are fitted to."""
        found = base.copy()
        found[self.thinned] = self.predict(theta, self.thinned)
        return found

    def solve(self, start: np.ndarray, iterations: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The constants, the predictions there and their derivatives."""
        theta = start.copy()
        base = self.predict(theta)
        lowest = self.loss(theta, base)
        keep = np.zeros(len(self.samples))
        keep[self.thinned] = 1.0
        slope = self.jacobian(theta, base)
        for _ in range(iterations):
            best = (lowest, theta, base)
            aims = [self.linearised(theta, base, slope, keep, damping) for damping in DAMPING]
            there = in_parallel(partial(self.tried, base=base), aims)
            for aim, predicted in zip(aims, there, strict=True):
                if (found := self.loss(aim, predicted)) < best[0]:
                    best = (found, aim, predicted)
            done = lowest - best[0] < 0.0005 * lowest
            lowest, theta, base = best
            print(f"loss {lowest:.1f}", flush=True)
            if done:
                break
            slope = self.jacobian(theta, base)
        return theta, self.predict(theta), slope

    def left_out(self, theta: np.ndarray, base: np.ndarray, slope: np.ndarray, level: str) -> np.ndarray:
        """Predictions of every sample by constants that saw nothing of its group.

        One step of Gauss and Newton from the whole fit's, as if predictions were straight lines about it: errors on
        what is left out come out too large rather than too small.
        """
        found = base.copy()
        groups = sorted(set(self.groups[level][self.of_servers]))  # an operator is never judged alone
        parts = in_parallel(partial(self._without, theta, base, slope, level), groups)
        for group, part in zip(groups, parts, strict=True):
            found[self.groups[level] == group] = part
        return found

    def _without(self, theta: np.ndarray, base: np.ndarray, slope: np.ndarray, level: str, group: str) -> np.ndarray:
        """The predictions of a group by a fit to all others."""
        own = self.groups[level] == group
        keep = np.zeros(len(own))
        keep[self.thinned] = ~own[self.thinned]
        return self.predict(self.linearised(theta, base, slope, keep), np.flatnonzero(own))


def write(fit: Fit, theta: np.ndarray, ranges: dict[str, list[float]], paths: list[Path]) -> None:
    """The constants, the intervals and the cells that were seen, into the package."""
    kept = {name: round(float(value), 5) for name, value in zip(fit.names, theta, strict=True)}
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    cells = sorted({(one.case.arch_name, one.case.chips[0][0].name) for one in fit.samples if one.target != "operator"})
    found = {"data_sha256": digest, "constants": kept, "interval": ranges, "cells": cells}
    CONSTANTS.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Fit, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--operators", type=Path, help="aiconfigurator's systems/data: measured operators to fit to")
    parser.add_argument("--judge", action="store_true", help="keep the shipped constants: judge, do not fit")
    parser.add_argument("--by", choices=["table", *LEVELS], default="table", help="the lines of the report")
    parser.add_argument("--from-priors", action="store_true", help="begin there, not at the shipped constants")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    fit = Fit(given.runs, given.operators)
    shipped = json.loads(CONSTANTS.read_text())["constants"]
    known = {} if given.from_priors else shipped
    start = np.array([known.get(name, value) for name, value in priors().items()])
    theta, base, slope = fit.solve(start, 0 if given.judge else ROUNDS)
    errors = {"fitted": base - fit.actual}
    if not given.judge:
        errors |= {level: fit.left_out(theta, base, slope, level) - fit.actual for level in LEVELS}
    report(fit.samples, errors, given.by)
    if given.judge:
        return
    served = [one for one in fit.samples if isinstance(one, ServingSample)]
    errors = {level: found[fit.of_servers] for level, found in errors.items()}
    ranges = intervals(served, errors)
    coverage(served, errors, ranges)
    for name, value, prior in zip(fit.names, theta, fit.prior, strict=True):
        print(f"{name:28} {value:8.3f}  prior {prior:8.3f}")
    if given.write:
        write(fit, theta, ranges, given.runs)


if __name__ == "__main__":
    main()
