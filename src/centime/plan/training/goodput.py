"""Time that long runs lose: interruptions, restarts, work since the last checkpoint, and checkpoints themselves.

Interruptions are taken from Llama-3.1-405B (arXiv 2407.21783, section 3.3.4): 419 unexpected ones in 54 days on 16,384
H100. Checkpoints come at the interval that loses least (Young 1974; Daly 2006, equation 20, where a checkpoint is short
beside the time between interruptions): the square root of twice their cost times the mean time between interruptions.

Chips on a spot market are taken back besides. A job was interrupted every 2.13 hours on 1 machine, 2.11 on 4 and 1.29
on 16 (V100 on AWS, 2023: the traces of "Can't Be Late", NSDI 2024, github.com/skypilot-org/spot-traces 221da1a, folders
preemption/1-node and 4-node, availability/16-node; the time that machines were up over the instants at which some were
lost). Machines of one kind and zone are taken together, so that more of them are hardly interrupted more often.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

from centime.messages import Said, said

CHIP_HOURS_BETWEEN_INTERRUPTIONS = 16_384 * 54 * 24 / 419
SPOT_HOURS = 2.13  # between interruptions of a job on one machine
SPOT_EXPONENT = -0.18  # with the number of machines: 1.29 hours on 16
MACHINE = 8  # chips
RESTART_HOURS = 0.2  # detect, replace, start, load (assumption: 12 minutes)
CHECKPOINT_HOURS = 10.0 / 3600  # that training waits for one, saved in the background (assumption: 10 s)


@dataclass(frozen=True)
class Goodput:
    """share: of the wall time, that trains. Hours between interruptions and between checkpoints."""

    share: float
    hours_between_interruptions: float
    hours_between_checkpoints: float


def spot_hours(chips: int) -> float:
    """Hours between the instants at which a spot market takes some of so many chips back."""
    return float(SPOT_HOURS * ceil(chips / MACHINE) ** SPOT_EXPONENT)


def goodput(chips: int, taken_back_every: float | None = None) -> Goodput:
    """What a long run on so many chips may hope for.

    An interruption costs the restart and half a checkpoint interval; each interval one checkpoint. taken_back_every:
    hours, where chips are taken back besides failing.
    """
    mean = CHIP_HOURS_BETWEEN_INTERRUPTIONS / chips
    if taken_back_every is not None:
        mean = 1 / (1 / mean + 1 / taken_back_every)
    interval = sqrt(2 * CHECKPOINT_HOURS * mean)
    lost = (RESTART_HOURS + interval / 2) / mean + CHECKPOINT_HOURS / interval
    return Goodput(1 / (1 + lost), mean, interval)


def interruptions(long: Goodput, chips: int, taken_back_every: float | None, measured: bool) -> Said:
    """What interrupts a run, how often, and what it loses. measured: whether spot chips are taken back as in traces."""
    if taken_back_every is None:
        return said(
            "A failure every {hours:.0f} hours on {gpus:,|chip|chips}, as Llama-3.1-405B saw them: {share:.1%} of the "
            "time trains.",
            hours=long.hours_between_interruptions,
            gpus=chips,
            share=long.share,
        )
    return said(
        "On a spot market some chips are taken back every {hours:.2g} hours{source}; with failures, and a checkpoint "
        "every {minutes:.2g} minutes, {lost:.1%} of the time and the money is lost. Waiting for chips that cannot be "
        "had is not counted.",
        hours=taken_back_every,
        source=said(", as V100 on AWS in 2023 (NSDI 2024, skypilot-org/spot-traces)") if measured else "",
        minutes=60 * long.hours_between_checkpoints,
        lost=1 - long.share,
    )
