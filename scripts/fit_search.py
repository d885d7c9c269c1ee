"""The search for the training planner's constants: from priors and samples, and again without some of the samples.

Each constant is pulled towards its prior (the default in plan/step/efficiency.py) by as much as `spread_of` says;
errors are those of the logarithm of a step's seconds under a Cauchy loss, so that a few odd rows do not decide. The
loss narrows in three rounds: what is odd shows only near the end. Gauss-Newton steps with a Levenberg damping; positive
constants are fitted as logarithms, so that no bandwidth ever slows a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from fit_samples import Sample

from centime.plan.check.training import times_of
from centime.plan.step.efficiency import Constants

NAMES = [field.name for field in fields(Constants)]
PRIOR = np.array([getattr(Constants(), name) for name in NAMES])
ADDITIVE = np.array([name.startswith("log_") for name in NAMES])
START = np.where(ADDITIVE, PRIOR, 0.0)
SIGMA = 0.07  # of an ordinary row, natural logarithm
PHASE_SIGMA = 0.06  # of one phase of a step
CORES = (
    8 * SIGMA,
    3 * SIGMA,
    1.5 * SIGMA,
)  # beyond which a row counts as odd: at first none, so that all are approached
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
    "gemm_weight": 1.0,
    "launch_overlap": 0.30,
    "gemm_expert": 0.20,
    "gemm_expert_fp8": 0.30,
    "gemm_expert_late": 0.30,
    "window_passes": 1.0,
    "shard_pipeline": 1.0,
    "log_gemm_google": 0.25,
    "log_gemm_amd": 0.25,
    "log_gemm_huawei": 0.25,
    "optimizer_passes": 0.25,
    "step_ms": 0.4,
    "host_site": 0.3,
    "hop_us": 0.7,
    "tail_us": 0.7,
}


def spread_of(name: str) -> float:
    """Standard deviation of the prior: tight for shares of a measured peak, loose for passes and exposed shares."""
    if name in SPREADS:
        return SPREADS[name]
    if name.startswith("log_"):
        return 0.10 if name.startswith("log_gemm") else 0.15
    if name.startswith("gemm"):
        return 0.15
    return 0.25 if name.startswith("attention") and name != "attention_backward" else 0.5


SPREAD = np.array([spread_of(name) for name in NAMES])


def constants_of(x: np.ndarray) -> Constants:
    """The constants at a point of the search."""
    values = np.where(ADDITIVE, x, PRIOR * np.exp(np.where(ADDITIVE, 0.0, x)))
    return Constants(**dict(zip(NAMES, map(float, values), strict=True)))


def place_of(constants: Constants) -> np.ndarray:
    """The point of the search that has these constants."""
    values = np.array([getattr(constants, name) for name in NAMES])
    return np.where(ADDITIVE, values, np.log(np.where(ADDITIVE, 1.0, values) / np.where(ADDITIVE, 1.0, PRIOR)))


def misses(samples: Sequence[Sample], constants: Constants) -> np.ndarray:
    """log(predicted / actual) seconds of every sample, then of phases, scaled as if they were rows."""
    times = [times_of(sample.run, constants) for sample in samples]
    rows = [np.log(t.total / sample.seconds) for t, sample in zip(times, samples, strict=True)]
    for t, sample in zip(times, samples, strict=True):
        for name, seconds in sample.phases.items():
            rows.append(np.log(max(t.phases[name], 1e-3) / seconds) * SIGMA / PHASE_SIGMA)
    return np.array(rows)


class Fit:
    """Constants fitted to samples, and what they would have been without some of these."""

    def __init__(self, samples: Sequence[Sample], near: Constants | None = None) -> None:
        """near: constants of an earlier fit, from which only the last of the three rounds is gone."""
        self.samples = samples
        self.owners = [i for i, _ in enumerate(samples)] + [
            i for i, sample in enumerate(samples) for _ in sample.phases
        ]
        self.counts = np.array([samples[owner].weight for owner in self.owners])
        self.x = START if near is None else place_of(near)
        self.r = misses(samples, constants_of(self.x))
        for self.core in CORES if near is None else CORES[-1:]:
            self.jacobian = self._descended()

    def _descended(self, steps: int = 12) -> np.ndarray:
        """Goes down to where the cost no longer falls; the slopes there."""
        everything = np.ones(len(self.owners))
        cost, damping = self._cost(self.x, self.r, everything), 1e-2
        for _ in range(steps):
            jacobian, weights = self._jacobian(self.x, self.r), self._weights(self.r)
            before = cost
            for _ in range(6):
                x = self.x + np.clip(_solve(self.x, jacobian, self.r, weights, damping), -0.7, 0.7)
                r = misses(self.samples, constants_of(x))
                if (better := self._cost(x, r, everything)) < cost:
                    self.x, self.r, cost, damping = x, r, better, max(damping / 4, 1e-6)
                    break
                damping = max(damping, 1e-3) * 6
            if before - cost < 0.05:
                break
        return self._jacobian(self.x, self.r)

    def _weights(self, r: np.ndarray) -> np.ndarray:
        """Of a Cauchy loss for rows; phases are few and count in full."""
        weights = 1.0 / (1.0 + (r / self.core) ** 2)
        weights[len(self.samples) :] = 1.0
        return weights * self.counts

    def _cost(self, x: np.ndarray, r: np.ndarray, seen: np.ndarray) -> float:
        n, seen = len(self.samples), seen * self.counts
        rows = (self.core / SIGMA) ** 2 * np.log1p((r[:n] / self.core) ** 2)
        data = (rows * seen[:n]).sum() + ((r[n:] / SIGMA) ** 2 * seen[n:]).sum()
        return float(data + (((x - START) / SPREAD) ** 2).sum())

    def _jacobian(self, x: np.ndarray, r: np.ndarray, h: float = 1e-3) -> np.ndarray:
        columns = []
        for j in range(len(x)):
            moved = x.copy()
            moved[j] += h
            columns.append((misses(self.samples, constants_of(moved)) - r) / h)
        return np.stack(columns, axis=1)

    def without(self, out: Sequence[bool], steps: int = 8) -> Constants:
        """The constants of a fit that has not seen the samples marked in `out`.

        The slopes at the whole fit serve every step (a chord method); what the remaining samples miss by is computed
        anew, and a step that does not lower it is shortened.
        """
        seen = np.array([0.0 if out[owner] else 1.0 for owner in self.owners])
        x, r = self.x, self.r
        cost, damping = self._cost(x, r, seen), 0.0
        for _ in range(steps):
            trial_x = x + np.clip(_solve(x, self.jacobian, r, seen * self._weights(r), damping), -1.0, 1.0)
            trial = misses(self.samples, constants_of(trial_x))
            better = self._cost(trial_x, trial, seen)
            if better >= cost:
                damping = max(damping * 8, 0.1)
                continue
            done = cost - better < 0.05
            x, r, cost = trial_x, trial, better
            if done:
                break
        return constants_of(x)


def _solve(x: np.ndarray, jacobian: np.ndarray, r: np.ndarray, weights: np.ndarray, damping: float) -> np.ndarray:
    matrix = jacobian.T @ (jacobian * (weights / SIGMA**2)[:, None]) + np.diag(1.0 / SPREAD**2)
    slope = jacobian.T @ (weights * r / SIGMA**2) + (x - START) / SPREAD**2
    matrix[np.diag_indices_from(matrix)] *= 1.0 + damping
    return np.linalg.solve(matrix, -slope)


def left_out(fit: Fit, key: Callable[[Sample], str]) -> np.ndarray:
    """log(predicted / actual) of every sample by a fit that saw no sample of the same key."""
    keys = [key(sample) for sample in fit.samples]
    found = np.empty(len(keys))
    for name in dict.fromkeys(keys):
        out = np.array([other == name for other in keys])
        hidden = [sample for sample, is_out in zip(fit.samples, out, strict=True) if is_out]
        found[out] = misses(hidden, fit.without(list(out)))[: len(hidden)]
    return found
