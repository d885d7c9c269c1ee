"""What a first run takes beside the tuned one: failed runs, ablations, evaluation, as those who counted it found.

Factors on the compute of the final run alone; the tuned figures of a plan contain none of it. Storage and people are in
none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from centime.messages import Said, said


@dataclass(frozen=True)
class Wasted:
    """Who counted, and all compute over that of the final run."""

    who: str
    factor: float
    source: str


COUNTED = (
    Wasted(
        "OLMo 2, OLMoE",
        1.5,
        said("arXiv 2503.05804: developing the models took half of what their final training did"),
    ),
    Wasted(
        "Olmo 3",
        1 / (1 - 0.822),
        said(
            "arXiv 2605.01158: 82.2 % of the compute went to experiments, failed runs and ablations, reasoning included"
        ),
    ),
    Wasted(
        "OpenAI, 2024",
        10.0,
        said("Epoch AI, Gradient Updates, 2026-03-26: about a tenth of R&D compute in final runs of released models"),
    ),
)


def first_run(gpu_hours: float, rate: float) -> list[dict[str, Any]]:
    """The run with all that was around it, as each of COUNTED had it: as --json prints it."""
    return [
        {
            "as": one.who,
            "factor": one.factor,
            "gpu_hours": one.factor * gpu_hours,
            "cost": one.factor * gpu_hours * rate,
            "source": str(one.source),
        }
        for one in COUNTED
    ]


def note() -> Said:
    """What the factors count."""
    return said(
        "All compute over that of the final run: failed runs, ablations, evaluation and research. The figures above "
        "are of the tuned run alone; storage and people are in neither."
    )
