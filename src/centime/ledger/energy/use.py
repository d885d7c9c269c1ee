"""Joules with how they are known: measured by a counter, or estimated from power at full load, an upper bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from centime.units import format_energy

KWH_UJ = 3_600_000_000_000  # microjoules in a kilowatt-hour: the same number as nanoseconds in an hour
MEASURED, ESTIMATED, MIXED, NONE = "measured", "estimated", "mixed", "none"
ENERGY_COLUMNS = ("measured_uj", "estimated_uj", "known_ns")  # of tables of the ledger, each an integer


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """Whole microjoules. known_ns: the device-time whose energy this is; of all further time nobody knows the power."""

    measured_uj: int = 0
    estimated_uj: int = 0
    known_ns: int = 0

    def __add__(self, other: EnergyUse) -> EnergyUse:
        return EnergyUse(
            self.measured_uj + other.measured_uj,
            self.estimated_uj + other.estimated_uj,
            self.known_ns + other.known_ns,
        )

    def __sub__(self, other: EnergyUse) -> EnergyUse:
        return EnergyUse(
            self.measured_uj - other.measured_uj,
            self.estimated_uj - other.estimated_uj,
            self.known_ns - other.known_ns,
        )

    def at_least(self, other: EnergyUse) -> EnergyUse:
        """The larger of each of the three figures."""
        return EnergyUse(
            max(self.measured_uj, other.measured_uj),
            max(self.estimated_uj, other.estimated_uj),
            max(self.known_ns, other.known_ns),
        )

    def part(self, share: int, whole: int) -> EnergyUse:
        """`share` of `whole` of it, each figure rounded down; nothing of nothing."""
        if not whole:
            return NO_ENERGY
        return EnergyUse(
            self.measured_uj * share // whole, self.estimated_uj * share // whole, self.known_ns * share // whole
        )

    @classmethod
    def of(cls, source: str, microjoules: int, device_ns: int) -> EnergyUse:
        """What a counter of this source ('nvml', 'rapl', 'zeus', 'tdp' or 'none') told of so much device-time."""
        if source == NONE:
            return NO_ENERGY
        return cls(0, microjoules, device_ns) if source == "tdp" else cls(microjoules, 0, device_ns)

    @property
    def total_uj(self) -> int:
        """All that is known."""
        return self.measured_uj + self.estimated_uj

    @property
    def source(self) -> str:
        """MEASURED, ESTIMATED, MIXED, or NONE where nothing is known."""
        if not self.known_ns and not self.total_uj:
            return NONE
        if self.estimated_uj:
            return MIXED if self.measured_uj else ESTIMATED
        return MEASURED

    @property
    def kwh(self) -> float | None:
        """In kilowatt-hours; None where nothing is known."""
        return None if self.source == NONE else self.total_uj / KWH_UJ

    def text(self, of_ns: int) -> str:
        """For a table: '0.17 Wh~' estimated, '+' behind it where of some of `of_ns` nobody knows; '' for nothing."""
        if self.kwh is None:
            return ""
        partly = "+" if self.known_ns < of_ns else ""
        return format_energy(self.kwh) + partly + ("~" if self.estimated_uj else "")

    def told(self) -> dict[str, Any]:
        """{energy_joules, energy_source}, of one request: a number or null, and how it is known."""
        known = self.source != NONE
        return {"energy_joules": self.total_uj / 1e6 if known else None, "energy_source": self.source}

    def as_json(self) -> dict[str, Any]:
        """{energy_kwh, energy_source}: a number or null, and how it is known."""
        return {"energy_kwh": self.kwh, "energy_source": self.source}


NO_ENERGY = EnergyUse()
