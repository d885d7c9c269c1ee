"""Fits the serving planner's constants to published runs and writes src/centime/plan/serving/constants.json.

    python scripts/fit_serving.py --runs serving_runs.csv [--leave-out cell] [--write]

Minimises sum(huber(log(predicted / actual))) + sum(((constant - prior) / spread)^2) by Gauss-Newton: robust, and
regularised towards the priors of plan/serving/speeds.py (partial pooling: what no row speaks of stays at its prior).
--leave-out cell refits without every (model, gpu) cell in turn and reports errors on the rows left out; their residuals
give the intervals. Cells are weighted so that twenty rows of one sweep do not outvote twenty single runs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from centime.plan.check.file import SERVING, target_of
from centime.plan.check.serving import predict_row, read_case
from centime.plan.serving.interval import cell, unseen_kind
from centime.plan.serving.speeds import BASES, CONSTANTS, TERMS

NOISE = 0.12  # the spread of a row's logarithm that the model is not meant to follow
HUBER = 1.5  # in units of NOISE; beyond it a row pulls with constant force
STEP = 0.03  # of a numerical derivative, in logarithms


def priors() -> dict[str, float]:
    """What the constants are before any measurement."""
    found = {name: math.log(mean) for name, (mean, _, _) in BASES.items()}
    return found | {name: mean for name, (mean, _) in TERMS.items()}


class Fit:
    """Rows, constants and their derivatives."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.names = [*BASES, *TERMS]
        start = priors()
        self.prior = np.array([start[n] for n in self.names])
        self.spread = np.array([BASES[n][1] if n in BASES else TERMS[n][1] for n in self.names])
        values = dict(zip(self.names, self.prior, strict=True))
        self.rows = [row for row in rows if predict_row(row, values).answered]
        self.actual = np.log([predict_row(row, values).actual or 1.0 for row in self.rows])
        self.cells = [cell_of(row) for row in self.rows]
        sizes = Counter(self.cells)
        self.weight = np.array([sizes[cell] ** -0.35 for cell in self.cells])

    def predict(self, theta: np.ndarray) -> np.ndarray:
        """Logarithms of the predictions; a row that the constants make impossible counts as far off."""
        values = dict(zip(self.names, theta, strict=True))
        found = [predict_row(row, values).predicted for row in self.rows]
        return np.array([math.log(f) if f else a - 3 for f, a in zip(found, self.actual, strict=True)])

    def jacobian(self, theta: np.ndarray, base: np.ndarray) -> np.ndarray:
        """d predict / d theta, forward differences."""
        columns = []
        for i in range(len(theta)):
            moved = theta.copy()
            moved[i] += STEP
            columns.append((self.predict(moved) - base) / STEP)
        return np.clip(np.array(columns).T, -3, 3)

    def step(self, theta: np.ndarray, base: np.ndarray, slope: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """One Gauss-Newton step over the rows of `keep`, from `theta`."""
        residual = (self.actual - base) / NOISE
        robust = self.weight * keep / np.maximum(1.0, np.abs(residual) / HUBER)
        lhs = slope.T @ (slope * (robust / NOISE**2)[:, None]) + np.diag(self.spread**-2)
        rhs = slope.T @ (robust * residual / NOISE) - (theta - self.prior) / self.spread**2
        return np.linalg.solve(lhs, rhs)

    def loss(self, theta: np.ndarray, base: np.ndarray) -> float:
        """What is minimised."""
        r = np.abs(self.actual - base) / NOISE
        huber = np.where(r < HUBER, r**2, HUBER * (2 * r - HUBER))
        return float((self.weight * huber).sum() + (((theta - self.prior) / self.spread) ** 2).sum())

    def solve(self, iterations: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The constants, the predictions there and their derivatives."""
        theta = self.prior.copy()
        base = self.predict(theta)
        lowest = self.loss(theta, base)
        keep = np.ones(len(self.rows))
        slope = self.jacobian(theta, base)
        for _ in range(iterations):
            move = self.step(theta, base, slope, keep)
            for damping in (1.0, 0.5, 0.25, 0.1):
                tried = self.predict(theta + damping * move)
                found = self.loss(theta + damping * move, tried)
                if found < lowest:
                    break
            else:
                break
            done = lowest - found < 0.3
            theta, base, lowest = theta + damping * move, tried, found
            slope = self.jacobian(theta, base)
            if done:
                break
        return theta, base, slope

    def row_left_out(self, base: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Errors of each row had the fit not seen it: residual / (1 - leverage)."""
        robust = self.weight / np.maximum(1.0, np.abs(self.actual - base) / NOISE / HUBER) / NOISE**2
        inverse = np.linalg.inv(slope.T @ (slope * robust[:, None]) + np.diag(self.spread**-2))
        leverage = np.einsum("ij,jk,ik->i", slope, inverse, slope) * robust
        return (base - self.actual) / (1 - np.minimum(leverage, 0.9))

    def without(self, theta: np.ndarray, base: np.ndarray, slope: np.ndarray, cell: str) -> np.ndarray:
        """Predictions when the rows of `cell` are left out: three reweighted steps of the linearised fit."""
        keep = np.array([float(c != cell) for c in self.cells])
        moved, seen = theta.copy(), base.copy()
        for _ in range(3):
            change = self.step(moved, seen, slope, keep)
            moved, seen = moved + change, seen + slope @ change
        return self.predict(moved)


def cell_of(row: dict[str, str]) -> str:
    """The (model, gpu) cell of a row, as the catalogue names them; of its first kind of chip."""
    case = read_case(row)
    return cell(case.arch_name, case.chips[0][0])


def spread(rows: list[dict[str, str]], errors: np.ndarray) -> list[float]:
    """The logarithms of actual over predicted throughput that hold the middle 80 % of rows."""
    late = np.array([(target_of(SERVING, row) or "").endswith("_ms") for row in rows])
    return [round(float(q), 4) for q in np.quantile(np.where(late, errors, -errors), [0.1, 0.9])]


def intervals(fit: Fit, seen: np.ndarray, left: np.ndarray) -> dict[str, list[float]]:
    """By kind: cells with rows in the fit, by errors of rows left out; others by those of cells left out."""
    found = {"seen": spread(fit.rows, seen)}
    kinds = np.array([unseen_kind(read_case(row).chips[0][0]) for row in fit.rows])
    for kind in sorted(set(kinds)):
        own = kinds == kind
        found[kind] = spread([row for row, is_own in zip(fit.rows, own, strict=True) if is_own], left[own])
    return found


def report(rows: list[dict[str, str]], errors: np.ndarray) -> None:
    """Median, 90th percentile and bias by group; errors are logarithms of predicted / actual."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row, error in zip(rows, errors, strict=True):
        groups[row.get("group", "")].append(math.exp(error) - 1)
        groups["all"].append(math.exp(error) - 1)
    for name, found in groups.items():
        size = np.abs(found)
        figures = f"median {np.median(size):.3f} p90 {np.quantile(size, 0.9):.3f} bias {np.median(found):+.3f}"
        print(f"{name:42} {len(found):4} {figures}")


def main() -> None:
    """Fit, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--leave-out", choices=["cell"])
    parser.add_argument("--write", action="store_true", help="needs --leave-out: the intervals come from it")
    given = parser.parse_args()
    if given.write and not given.leave_out:
        parser.error("--write needs --leave-out cell")
    data = given.runs.read_bytes()
    fit = Fit(list(csv.DictReader(data.decode().splitlines())))
    theta, base, slope = fit.solve()
    print("in sample")
    report(fit.rows, base - fit.actual)
    ranges: dict[str, list[float]] = {}
    if given.leave_out:
        left = base.copy()
        for cell in sorted(set(fit.cells)):
            found = fit.without(theta, base, slope, cell)
            own = np.array([c == cell for c in fit.cells])
            left[own] = found[own]
        print("cells left out")
        report(fit.rows, left - fit.actual)
        ranges = intervals(fit, fit.row_left_out(base, slope), left - fit.actual)
        print(ranges)
        worst = sorted(zip(fit.rows, left - fit.actual, base - fit.actual, strict=True), key=lambda w: -abs(w[1]))
        for row, out, seen in worst[:24]:
            print(row["id"], row["model"], row["gpu"], row["config"], row["phase"], f"{out:+.2f} {seen:+.2f}")
    for name, value in zip(fit.names, theta, strict=True):
        prior = priors()[name]
        print(f"{name:24} {math.exp(value):.4g}  prior {math.exp(prior):.4g}")
    if given.write:
        kept = {name: round(float(value), 5) for name, value in zip(fit.names, theta, strict=True)}
        digest = hashlib.sha256(data).hexdigest()
        CONSTANTS.write_text(
            json.dumps(
                {"data_sha256": digest, "constants": kept, "interval": ranges, "cells": sorted(set(fit.cells))},
                indent=1,
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
