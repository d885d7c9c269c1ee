"""Fits the training planner's constants to published runs and writes src/centime/plan/step/constants.json.

    python scripts/fit_planner.py --runs training_runs.csv            fit, cross-validate by cells, write
    python scripts/fit_planner.py --runs FILE --leave-out family      fit without each family, report, don't write

Each constant is pulled towards its prior (the default in plan/step/efficiency.py) by as much as `spread_of` says;
errors are those of the logarithm of a step's seconds under a Cauchy loss, so that a few odd rows do not decide.
Gauss-Newton steps with a Levenberg damping; positive constants are fitted as logarithms, so that no bandwidth ever
slows a step.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
from fit_samples import Sample, read_samples
from widening import widening

from centime.plan.check.training import times_of
from centime.plan.step.efficiency import FILE, Constants
from centime.plan.step.intervals import KINDS, Errors, features

NAMES = [field.name for field in fields(Constants)]
PRIOR = np.array([getattr(Constants(), name) for name in NAMES])
ADDITIVE = np.array([name.startswith("log_") for name in NAMES])
START = np.where(ADDITIVE, PRIOR, 0.0)
SIGMA = 0.07  # of an ordinary row, natural logarithm
PHASE_SIGMA = 0.06  # of one phase of a step
# How far a constant may lie from its prior: standard deviations, of the logarithm for positive ones.
SPREADS = {
    "log_gemm_year": 0.03,
    "attention_blackwell": 0.12,
    "attention_hopper_tuned": 0.15,
    "memory": 0.10,
    "log_memory_blackwell": 0.15,
    "scaleup": 0.15,
    "scaleout": 0.15,
    "gemm_memory": 0.25,
    "gemm_weight": 0.30,
    "launch_overlap": 0.30,
    "gemm_expert": 0.20,
    "gemm_expert_fp8": 0.30,
    "gemm_expert_late": 0.30,
    "window_passes": 1.0,
    "shard_pipeline": 1.0,
}


def spread_of(name: str) -> float:
    """Standard deviation of the prior: tight for shares of a measured peak, loose for passes and exposed shares."""
    if name in SPREADS:
        return SPREADS[name]
    if name.startswith("log_"):
        return 0.10 if name.startswith("log_gemm") else 0.15
    if name.startswith("gemm") and name != "gemm_memory":
        return 0.15
    return 0.25 if name.startswith("attention") else 0.5


SPREAD = np.array([spread_of(name) for name in NAMES])


def constants_of(x: np.ndarray) -> Constants:
    """The constants at a point of the search."""
    values = np.where(ADDITIVE, x, PRIOR * np.exp(np.where(ADDITIVE, 0.0, x)))
    return Constants(**dict(zip(NAMES, map(float, values), strict=True)))


def misses(samples: Sequence[Sample], constants: Constants) -> np.ndarray:
    """log(predicted / actual) seconds of every sample, then of phases, scaled as if they were rows."""
    times = [times_of(sample.run, constants) for sample in samples]
    rows = [np.log(t.total / sample.seconds) for t, sample in zip(times, samples, strict=True)]
    for t, sample in zip(times, samples, strict=True):
        for name, seconds in sample.phases.items():
            rows.append(np.log(max(t.phases[name], 1e-3) / seconds) * SIGMA / PHASE_SIGMA)
    return np.array(rows)


class Fit:
    """Constants fitted to samples; what a fit without some of them would be follows from the last linearisation."""

    def __init__(self, samples: Sequence[Sample], start: np.ndarray = START, steps: int = 20) -> None:
        self.samples = samples
        self.owners = [i for i, _ in enumerate(samples)] + [
            i for i, sample in enumerate(samples) for _ in sample.phases
        ]
        x, damping = start.copy(), 1e-2
        r = misses(samples, constants_of(x))
        cost = self._cost(x, r)
        for _ in range(steps):
            jacobian, weights = self._jacobian(x, r), self._weights(r)
            for _ in range(6):
                step = np.clip(_solve(x, jacobian, r, weights, damping), -0.7, 0.7)
                trial = misses(samples, constants_of(x + step))
                better = self._cost(x + step, trial)
                if better < cost:
                    break
                damping = max(damping, 1e-3) * 6
            else:
                break
            done = cost - better < 0.02
            x, r, cost, damping = x + step, trial, better, max(damping / 4, 1e-6)
            if done:
                break
        self.x, self.r = x, r
        self.jacobian = self._jacobian(x, r)

    def _weights(self, r: np.ndarray) -> np.ndarray:
        """Of a Cauchy loss for rows; phases are few and count in full."""
        weights = 1.0 / (1.0 + (r / (1.5 * SIGMA)) ** 2)
        weights[len(self.samples) :] = 1.0
        return weights

    def _cost(self, x: np.ndarray, r: np.ndarray) -> float:
        rows, phases = r[: len(self.samples)], r[len(self.samples) :]
        data = 2.25 * np.log1p((rows / (1.5 * SIGMA)) ** 2).sum() + ((phases / SIGMA) ** 2).sum()
        return float(data + (((x - START) / SPREAD) ** 2).sum())

    def _jacobian(self, x: np.ndarray, r: np.ndarray, h: float = 1e-3) -> np.ndarray:
        columns = []
        for j in range(len(x)):
            moved = x.copy()
            moved[j] += h
            columns.append((misses(self.samples, constants_of(moved)) - r) / h)
        return np.stack(columns, axis=1)

    def without(self, out: Sequence[bool]) -> Constants:
        """The constants of a fit that has not seen the samples marked in `out`: two reweighted Gauss-Newton steps."""
        hidden = np.array([out[owner] for owner in self.owners])
        r, step = self.r, np.zeros_like(self.x)
        for _ in range(3):
            weights = np.where(hidden, 0.0, self._weights(r))
            step = np.clip(_solve(self.x, self.jacobian, self.r, weights, 0.0), -1.0, 1.0)
            r = self.r + self.jacobian @ step
        return constants_of(self.x + step)


def _solve(x: np.ndarray, jacobian: np.ndarray, r: np.ndarray, weights: np.ndarray, damping: float) -> np.ndarray:
    matrix = jacobian.T @ (jacobian * (weights / SIGMA**2)[:, None]) + np.diag(1.0 / SPREAD**2)
    slope = jacobian.T @ (weights * r / SIGMA**2) + (x - START) / SPREAD**2
    matrix[np.diag_indices_from(matrix)] *= 1.0 + damping
    return np.linalg.solve(matrix, -slope)


def left_out(fit: Fit, key: Callable[[Sample], str], exact: bool = False) -> np.ndarray:
    """log(predicted / actual) of every sample by a fit that saw no sample of the same key. exact: fitted anew."""
    keys = [key(sample) for sample in fit.samples]
    found = np.empty(len(keys))
    for name in dict.fromkeys(keys):
        out = [other == name for other in keys]
        if exact:
            kept = [sample for sample, hidden in zip(fit.samples, out, strict=True) if not hidden]
            constants = constants_of(Fit(kept, fit.x, steps=6).x)
        else:
            constants = fit.without(out)
        hidden_samples = [sample for sample, hidden in zip(fit.samples, out, strict=True) if hidden]
        found[np.array(out)] = misses(hidden_samples, constants)[: len(hidden_samples)]
    return found


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
        f"{title:34s} n {s['n']:4d}   median {s['median_abs_error']:6.1%}   p90 {s['p90_abs_error']:6.1%}   "
        f"bias {s['bias']:+6.1%}"
    )


def report(samples: Sequence[Sample], inside: np.ndarray, outside: np.ndarray, key: Callable[[Sample], str]) -> None:
    """Totals, then one line for every key."""
    say("in the fit", inside)
    say("left out", outside)
    for name in dict.fromkeys(map(key, samples)):
        chosen = np.array([key(sample) == name for sample in samples])
        say(f"  left out: {name}"[:34], outside[chosen])


def write(path: Path, runs: Path, fit: Fit, outside: dict[str, np.ndarray]) -> None:
    """step/constants.json: constants with their priors, where they come from, left-out errors for the intervals."""
    best = constants_of(fit.x)
    points = [features(run.job, run.layout, times_of(run, best)) for run in (sample.run for sample in fit.samples)]
    known = Errors(
        tuple(tuple(round(float(value), 3) for value in point) for point in points),
        {kind: tuple(round(float(error), 4) for error in r) for kind, r in outside.items()},
        {
            "family": tuple(sample.family for sample in fit.samples),
            "generation": tuple(sample.generation for sample in fit.samples),
        },
        wider={},
    )
    content = {
        "what": "Constants of the training planner, fitted by scripts/fit_planner.py; see docs/plan-formulas.md",
        "fitted": date.today().isoformat(),
        "data": {"rows": len(fit.samples), "sha256": hashlib.sha256(runs.read_bytes()).hexdigest()},
        "in_the_fit": summary(fit.r[: len(fit.samples)]),
        **{f"{kind}_left_out": summary(r) for kind, r in outside.items()},
        "constants": {
            name: {"value": round(getattr(best, name), 5), "prior": float(prior), "spread": float(spread)}
            for name, prior, spread in zip(NAMES, PRIOR, SPREAD, strict=True)
        },
        "left_out": {
            "wider": {kind: round(widening(known, kind), 3) for kind in known.groups},
            "features": known.points,
            **known.errors,
            **{f"{kind}_of": names for kind, names in known.groups.items()},
        },
    }
    text = json.dumps(content, indent=1)
    text = re.sub(r"\[\s+([^\[\]]*?)\s+\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line; fit, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="CSV in the schema of published training runs")
    parser.add_argument("--leave-out", choices=("cell", "family", "generation", "deepseek"), help="report, don't write")
    parser.add_argument("--exact", action="store_true", help="fit anew for every group left out (minutes)")
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args()
    samples = read_samples(arguments.runs)
    fit = Fit(samples)
    inside = fit.r[: len(samples)]
    keys: dict[str, Callable[[Sample], str]] = {
        "cell": lambda s: s.cell,
        "family": lambda s: s.family,
        "generation": lambda s: s.generation,
        "deepseek": lambda s: "DeepSeek's own rows" if s.row["group"] == "DeepSeek" else s.row["id"],
    }
    if arguments.leave_out == "deepseek":
        kept = [sample for sample in samples if sample.row["group"] != "DeepSeek"]
        constants = constants_of(Fit(kept, fit.x).x)
        for sample in samples:
            if sample.row["group"] == "DeepSeek":
                seconds = times_of(sample.run, constants).total
                off = seconds / sample.seconds - 1
                print(f"{sample.row['id']}: {seconds:.2f} s, published {sample.seconds:.2f} s ({off:+.1%})")
        return
    if arguments.leave_out is not None:
        key = keys[arguments.leave_out]
        report(samples, inside, left_out(fit, key, arguments.exact), key)
        return
    # Whole families and generations move the constants too far for a linearisation.
    outside = {kind: left_out(fit, keys[kind], arguments.exact or kind != "cell") for kind in KINDS}
    report(samples, inside, outside["cell"], keys["cell"])
    write(arguments.out, arguments.runs, fit, outside)
    print(f"Wrote {arguments.out}.")


if __name__ == "__main__":
    main()
