"""What a step is made of, as pure functions of its number: rows, learning rate, MTP weight, bias speed.

Everything is computed from the stage's section of the recipe and its number of tokens, so that a resumed run, a run on
another number of devices and a run fitted to a budget all agree with no state to keep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from centime.errors import UserError
from centime.recipe import Milestone, Pretrain, StageSection
from centime.units import format_count

MOST_STEPS = 10_000_000  # of a stage; DeepSeek-V3's pre-training has 235,000


@dataclass(frozen=True)
class StepSettings:
    """What the recipe says about one step."""

    lr: float
    mtp_weight: float  # lambda of V3 eq. 25
    bias_speed: float  # gamma of V3 section 2.1.2
    balance_weight: float  # alpha of V3 eq. 17


@dataclass(frozen=True)
class Schedule:
    """One stage's steps. `first_row[i]` and `rows[i]` say which sequences step i takes; rows follow without gaps."""

    stage: StageSection
    rows: NDArray[np.int64]  # [steps]
    first_row: NDArray[np.int64]  # [steps]
    warmup_steps: int
    milestones: dict[str, float]  # name -> share of the stage
    plateaus: list[tuple[float, float]]  # (share where it ends, ratio)

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return len(self.rows)

    @property
    def tokens(self) -> int:
        """Tokens trained on, sequences times their length."""
        return int(self.rows.sum()) * self.stage.sequence_length

    def progress(self, step: int) -> float:
        """Share of the stage's rows that were trained on before step `step`, 0 to 1."""
        return float(self.first_row[step] / self.rows.sum())

    def settings(self, step: int) -> StepSettings:
        """Learning rate and loss weights of step `step`, counted from 0."""
        stage, p = self.stage, self.progress(step)
        return StepSettings(
            lr=stage.lr * self._lr_ratio(step, p),
            mtp_weight=stage.mtp_weight if p < self.milestones["mtp_weight_until"] else stage.mtp_weight_end,
            bias_speed=stage.bias_update_speed if p < self.milestones["bias_update_until"] else 0.0,
            balance_weight=stage.balance_loss,
        )

    def _lr_ratio(self, step: int, p: float) -> float:
        """V3 section 4.2: linear warm-up, constant, cosine, constant plateaus."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        constant, cosine = self.milestones["constant_until"], self.milestones["cosine_until"]
        if p < constant:
            return 1.0
        end = self.stage.lr_end_ratio
        if p < cosine:
            return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (p - constant) / (cosine - constant)))
        return next(
            (ratio for until, ratio in self.plateaus if p < until), self.plateaus[-1][1] if self.plateaus else end
        )


def share(milestone: Milestone, tokens: float) -> float:
    """A milestone as a share of the stage: itself up to 1, else tokens over the stage's tokens, 1 at most."""
    return milestone if milestone <= 1 else min(1.0, milestone / tokens)


def make_schedule(stage: StageSection, tokens: int, fitted_tokens: int | None = None) -> Schedule:
    """The steps of a stage of `tokens` tokens, or of the same stage shrunk or stretched to `fitted_tokens`.

    Milestones and warm-up keep their share of the stage, so a run fitted to a budget is the whole recipe in small.
    The last step is as large as the others (the total is rounded to the nearest whole step, at least one).
    """
    tokens = max(1, tokens)
    fitted = fitted_tokens or tokens
    total_rows = max(1, round(fitted / stage.sequence_length))
    if total_rows > MOST_STEPS * stage.batch_size:
        raise UserError(
            f"{format_count(fitted)} tokens in steps of {stage.batch_size} sequences of {stage.sequence_length} are "
            f"{total_rows / stage.batch_size:,.0f} steps, more than {MOST_STEPS:,}: raise batch_size or lower tokens."
        )
    rows = _batch_sizes(stage, total_rows, tokens)
    milestones = {
        name: share(getattr(stage, name), tokens)
        for name in ("constant_until", "cosine_until", "bias_update_until", "mtp_weight_until")
    }
    if milestones["constant_until"] > milestones["cosine_until"]:
        raise UserError(
            f"constant_until ({stage.constant_until:g}) lies after cosine_until ({stage.cosine_until:g}); "
            "the learning rate is constant first and falls then: put them in order."
        )
    plateaus = [(share(plateau.until, tokens), plateau.ratio) for plateau in stage.plateaus]
    ends = [milestones["cosine_until"], *(until for until, _ in plateaus)]
    if plateaus and ends != sorted(ends):
        raise UserError(
            f"The plateaus' until are {', '.join(f'{plateau.until:g}' for plateau in stage.plateaus)}, after "
            f"cosine_until = {stage.cosine_until:g}; each plateau ends after the one before it: put them in order."
        )
    warmup = round(stage.warmup_steps * fitted / tokens)
    return Schedule(
        stage=stage,
        rows=rows,
        first_row=np.concatenate(([0], np.cumsum(rows)[:-1])).astype(np.int64),
        warmup_steps=min(max(warmup, 1), len(rows)) if stage.warmup_steps else 0,
        milestones=milestones,
        plateaus=plateaus,
    )


def _batch_sizes(stage: StageSection, total_rows: int, tokens: int) -> NDArray[np.int64]:
    """Sequences of every step; with a ramp, linear in the tokens seen (V3 section 4.2: 3072 to 15360 over 469B)."""
    ramp = isinstance(stage, Pretrain) and stage.batch_size_start is not None
    sizes: list[int] = []
    seen = 0
    if ramp:
        assert isinstance(stage, Pretrain)
        assert stage.batch_size_start is not None
        start, end = stage.batch_size_start, stage.batch_size
        ramp_rows = share(stage.batch_ramp_until, tokens) * total_rows
        while seen < min(ramp_rows, total_rows):
            sizes.append(round(start + (end - start) * seen / ramp_rows))
            seen += sizes[-1]
    left = total_rows - seen
    rest = max(round(left / stage.batch_size), 0 if sizes else 1)
    return np.concatenate((np.array(sizes, dtype=np.int64), np.full(rest, stage.batch_size, dtype=np.int64)))
