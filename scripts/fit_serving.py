"""Fits the serving planner's constants to published runs, and says how far off they are on runs that they never saw.

    python scripts/fit_serving.py serving_runs.csv serving_new.csv serving_silicon.csv [--write]

Minimises sum(huber(log(predicted / actual))) + sum(((constant - prior) / spread)^2) by Gauss-Newton: robust, and
regularised towards the priors of plan/serving/speeds.py (partial pooling: what no row speaks of stays at its prior).
Then every (model, chip, engine) cell, every model and every chip is left out in turn, and the errors on what was left
out are reported by file; they give the intervals. Cells are weighted so that a long sweep does not outvote single runs,
and rows that state the same load and differ are left to judge, not to fit: something that made them differ is not told.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from serving_samples import LEVELS, ServingSample, read_serving_samples

from centime.plan.serving.interval import interval_kind, usual
from centime.plan.serving.speeds import BASES, CONSTANTS, GROUPS, TERMS, ServingConstants, terms

NOISE = 0.08  # the spread of a row's logarithm that the model is not meant to follow
NOISE_FIRST = 0.5  # the same of a time to first token
HUBER = 1.5  # in units of the noise; beyond it a row pulls with constant force
REWEIGHTED = 8  # steps of a reweighted fit
ROUNDS = 8  # of Gauss-Newton
FAR = {"seen": "fitted", "apart": "cell", "new model": "model", "new chip": "chip"}  # distance: the level left out
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
IMPOSSIBLE = 3.0  # what a row that the constants make impossible counts as off by


def priors() -> dict[str, float]:
    """What the constants are before any measurement."""
    found = {name: math.log(mean) for name, (mean, _, _) in BASES.items()}
    return found | {name: mean for name, (mean, _) in TERMS.items()}


class Fit:
    """Samples, constants and their derivatives."""

    def __init__(self, paths: list[Path]) -> None:
        self.names = [*BASES, *TERMS]
        start = priors()
        self.prior = np.array([start[n] for n in self.names])
        self.spread = np.array([BASES[n][1] if n in BASES else TERMS[n][1] for n in self.names])
        self.samples = read_serving_samples(paths, ServingConstants(start))
        self.actual = np.array([one.actual for one in self.samples])
        self.noise = np.array([NOISE_FIRST if one.target == "ttft_ms" else NOISE for one in self.samples])
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
        with multiprocessing.get_context("fork").Pool() as pool:
            there = pool.map(partial(self.predict, of=self.thinned), moved)
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
            with multiprocessing.get_context("fork").Pool() as pool:
                there = pool.starmap(self.tried, [(aim, base) for aim in aims])
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
        groups = sorted(set(self.groups[level]))
        with multiprocessing.get_context("fork").Pool() as pool:
            parts = pool.map(partial(self._without, theta, base, slope, level), groups, chunksize=1)
        for group, part in zip(groups, parts, strict=True):
            found[self.groups[level] == group] = part
        return found

    def _without(self, theta: np.ndarray, base: np.ndarray, slope: np.ndarray, level: str, group: str) -> np.ndarray:
        """The predictions of a group by a fit to all others."""
        own = self.groups[level] == group
        keep = np.zeros(len(own))
        keep[self.thinned] = ~own[self.thinned]
        return self.predict(self.linearised(theta, base, slope, keep), np.flatnonzero(own))


def sums(errors: np.ndarray) -> str:
    """Median, 90th percentile and bias of predicted / actual - 1, from its logarithm."""
    off = np.exp(errors) - 1
    size = np.abs(off)
    return f"{np.median(size):6.1%} {np.quantile(size, 0.9):7.1%} {np.median(off):+7.1%}"


def report(samples: list[ServingSample], errors: dict[str, np.ndarray], by: str = "table") -> None:
    """A line for every file and kind of figure; a column for the fit and for each level that is left out."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, one in enumerate(samples):
        rows[one.table if by == "table" else one.group(by)].append(i)
    print(f"{'median, 90 % within, bias':44}    n  " + "  ".join(f"{name:>22}" for name in errors))
    for name, own in sorted(rows.items()):
        print(f"{name:44} {len(own):4}  " + "  ".join(sums(found[own]) for found in errors.values()))


def intervals(samples: list[ServingSample], errors: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Logarithms of actual over predicted throughput that hold the middle 80 % of what was left out, by distance.

    Where neither model nor chip was measured, what the farther of the two adds to a cell left out is added again.
    """
    signs = np.array([1.0 if one.target.endswith("_ms") else -1.0 for one in samples])
    found: dict[str, list[float]] = {}
    kinds = {"": lambda one: usual(one.case.chips[0][0]), ", thin": lambda one: not usual(one.case.chips[0][0])}
    for suffix, belongs in (kinds | {", first token": None}).items():
        first = belongs is None
        own = [i for i, one in enumerate(samples) if (one.target == "ttft_ms") == first and (first or belongs(one))]
        for far, level in FAR.items():
            found[far + suffix] = [float(q) for q in np.quantile((signs * errors[level])[own], [0.1, 0.9])]
        for i in (0, 1):
            near, far = (
                abs(found["apart" + suffix][i]),
                max(abs(found[f"new {what}{suffix}"][i]) for what in LEVELS[1:]),
            )
            found.setdefault("neither" + suffix, [0.0, 0.0])[i] = (2 * i - 1) * (far + max(0.0, far - near))
    return {name: [round(q, 4) for q in ends] for name, ends in found.items()}


def coverage(samples: list[ServingSample], errors: dict[str, np.ndarray], ranges: dict[str, list[float]]) -> None:
    """The share of 80 % intervals that hold the actual figure, for each set that was left out."""
    for far, level in FAR.items():
        held: dict[str, list[bool]] = defaultdict(list)
        for one, error in zip(samples, errors[level], strict=True):
            low, high = ranges[interval_kind(far, one.case.chips[0][0], one.target)]
            covered = low <= (error if one.target.endswith("_ms") else -error) <= high
            held[one.table].append(covered)
            held["all but first tokens" if one.target != "ttft_ms" else "first tokens"].append(covered)
        print(f"{level}: " + ", ".join(f"{name} {np.mean(found):.1%}" for name, found in sorted(held.items())))


def write(fit: Fit, theta: np.ndarray, ranges: dict[str, list[float]], paths: list[Path]) -> None:
    """The constants, the intervals and the cells that were seen, into the package."""
    kept = {name: round(float(value), 5) for name, value in zip(fit.names, theta, strict=True)}
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    cells = sorted({(one.case.arch_name, one.case.chips[0][0].name) for one in fit.samples})
    found = {"data_sha256": digest, "constants": kept, "interval": ranges, "cells": cells}
    CONSTANTS.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Fit, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--judge", action="store_true", help="keep the shipped constants: judge, do not fit")
    parser.add_argument("--by", choices=["table", *LEVELS], default="table", help="the lines of the report")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    fit = Fit(given.runs)
    shipped = json.loads(CONSTANTS.read_text())["constants"]
    start = np.array([shipped.get(name, value) for name, value in priors().items()])
    theta, base, slope = fit.solve(start, 0 if given.judge else ROUNDS)
    errors = {"fitted": base - fit.actual}
    if not given.judge:
        errors |= {level: fit.left_out(theta, base, slope, level) - fit.actual for level in LEVELS}
    report(fit.samples, errors, given.by)
    if given.judge:
        return
    ranges = intervals(fit.samples, errors)
    coverage(fit.samples, errors, ranges)
    for name, value, prior in zip(fit.names, theta, fit.prior, strict=True):
        print(f"{name:28} {value:8.3f}  prior {prior:8.3f}")
    if given.write:
        write(fit, theta, ranges, given.runs)


if __name__ == "__main__":
    main()
