"""Where a run is; saved with every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RunProgress:
    """Counts since the run's first step."""

    stage: int = 0  # index of the stage
    step: int = 0  # steps done in it
    global_step: int = 0
    tokens: int = 0  # over all stages
    skipped: int = 0  # steps that were not finite
    skipped_in_a_row: int = 0
    device_ns: int = 0  # spent by earlier attempts, as of their last checkpoint
    cost: float = 0.0
    own: dict[str, float] = field(default_factory=dict)  # what the stage's kind counts; empty as it begins
