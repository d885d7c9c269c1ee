"""The engine in figures: what it does now, and whose the time was."""

from __future__ import annotations

from dataclasses import dataclass

from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.ledger.served import EngineTotals


@dataclass(frozen=True)
class EngineStats:
    """The engine now, and since it started. Times in nanoseconds; requests' and idle time add up to the wall-clock."""

    running: int
    waiting: int
    blocks: int
    blocks_used: int  # by requests in progress
    blocks_cached: int  # free, but still findable
    block_tokens: int
    cache_bytes: int
    steps: int
    preemptions: int
    finished: int
    prompt_tokens: int
    hit_tokens: int
    output_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    busy_ns: int
    idle_ns: int
    output_tokens_per_s: float  # over the last seconds
    computed_tokens_per_s: float
    failed: bool  # by a fault of its own it answers no more
    busy_energy: EnergyUse = NO_ENERGY  # of the device, split as the time is
    idle_energy: EnergyUse = NO_ENERGY

    @property
    def totals(self) -> EngineTotals:
        """Its clocks, as the ledger books them."""
        return EngineTotals(self.busy_ns, self.idle_ns, self.busy_energy, self.idle_energy)


@dataclass(frozen=True)
class EngineClock:
    """The wall-clock shared out until `until_ns`; replaced as a whole, so that any thread reads figures that fit."""

    until_ns: int
    busy_ns: int = 0
    idle_ns: int = 0
