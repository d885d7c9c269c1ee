"""Time that long runs lose: interruptions, restarts, work since the last checkpoint, and checkpoints themselves.

Interruptions are taken from Llama-3.1-405B (arXiv 2407.21783, section 3.3.4): 419 unexpected ones in 54 days on 16,384
H100. Checkpoints come at the interval that loses least (Young 1974): the square root of twice their cost times the mean
time between interruptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

CHIP_HOURS_BETWEEN_INTERRUPTIONS = 16_384 * 54 * 24 / 419
RESTART_HOURS = 0.2  # detect, replace, start, load (assumption: 12 minutes)
CHECKPOINT_HOURS = 10.0 / 3600  # that training waits for one, saved in the background (assumption: 10 s)


@dataclass(frozen=True)
class Goodput:
    """share: of the wall time, that trains. Hours between interruptions."""

    share: float
    hours_between_interruptions: float


def goodput(chips: int) -> Goodput:
    """What a long run on so many chips may hope for.

    An interruption costs the restart and half a checkpoint interval; each interval one checkpoint.
    """
    mean = CHIP_HOURS_BETWEEN_INTERRUPTIONS / chips
    interval = sqrt(2 * CHECKPOINT_HOURS * mean)
    lost = (RESTART_HOURS + interval / 2) / mean + CHECKPOINT_HOURS / interval
    return Goodput(1 / (1 + lost), mean)
