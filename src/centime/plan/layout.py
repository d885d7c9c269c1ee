"""How a model is spread over chips: the degrees of every kind of parallelism, micro-batch, schedule, recomputation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Schedule = Literal["1f1b", "interleaved", "zb", "dualpipe", "dualpipev"]
Recompute = Literal["none", "selective", "full"]


@dataclass(frozen=True)
class Layout:
    """One way to train on `gpus` chips: gpus = tp * cp * pp * dp, and ep divides dp * cp * tp."""

    gpus: int
    tp: int = 1  # tensor parallel, with sequence parallelism in between (arXiv 2205.05198)
    pp: int = 1  # pipeline stages
    vp: int = 1  # model chunks a stage (interleaved schedules)
    cp: int = 1  # context parallel
    ep: int = 1  # expert parallel; an expert's weights are replicated gpus / (pp * ep) times
    zero: int = 1  # 0: states replicated; 1: optimizer sharded over dp; 2: and gradients; 3: and weights (FSDP)
    micro_batch: int = 1  # sequences
    schedule: Schedule = "1f1b"
    recompute: Recompute = "none"

    @property
    def dp(self) -> int:
        """Data-parallel replicas of the dense part."""
        return self.gpus // (self.tp * self.cp * self.pp)

    def micro_batches(self, global_batch: int) -> int:
        """Micro-batches a replica works through in a step of `global_batch` sequences, at least one."""
        return max(1, -(-global_batch // (self.dp * self.micro_batch)))
