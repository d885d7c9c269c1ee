"""The books of several engines as one: counters add up over all lives of all replicas, states over those alive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.serve.engine.stats import EngineStats

# What a dead engine leaves behind: all that it counted since it started.
COUNTERS = (
    "steps", "preemptions", "finished", "prompt_tokens", "hit_tokens", "output_tokens", "drafted_tokens",
    "accepted_tokens",
)  # fmt: skip
CLOCKS = ("busy_ns", "idle_ns")
ENERGIES = ("busy_energy", "idle_energy")


class Lives:
    """The last books of each life of one replica: Ray starts another process in place of one that died."""

    def __init__(self) -> None:
        self._lives: OrderedDict[str, EngineStats] = OrderedDict()
        self._buried: set[str] = set()

    def read(self, life: str, stats: EngineStats) -> None:
        """Newer books of a life; those that come late, behind others of the same life, are dropped."""
        known = self._lives.get(life)
        if known is None or stats.busy_ns + stats.idle_ns >= known.busy_ns + known.idle_ns:
            self._lives[life] = stats
            self._buried.discard(life)  # it was slow, or failed at one thing: whoever tells newer books lives

    def bury(self) -> None:
        """Nothing is known to be alive until books are read again, of a new life or of the old one."""
        self._buried = set(self._lives)

    @property
    def alive(self) -> EngineStats | None:
        """The books of the last life, unless it is over."""
        life = next(reversed(self._lives), None)
        return None if life is None or life in self._buried else self._lives[life]

    def total(self, name: str) -> int:
        """A counter over all lives."""
        return sum(getattr(stats, name) for stats in self._lives.values())

    def energy(self, name: str) -> EnergyUse:
        """Of ENERGIES, over all lives."""
        return sum((getattr(stats, name) for stats in self._lives.values()), NO_ENERGY)


@dataclass
class SharedDevice:
    """One device that several replicas work on side by side: of each one's nanosecond it gave an n-th.

    Rounding is carried over, so that what requests are given adds up to within a nanosecond of the whole.
    """

    replicas: int
    _carried: int = field(default=0, init=False)

    def of(self, engine_ns: int) -> int:
        """Device time of so much engine time."""
        whole, self._carried = divmod(engine_ns + self._carried, self.replicas)
        return whole

    def energy_of(self, use: EnergyUse) -> EnergyUse:
        """The device's joules of what one engine counted: each counts the whole device. Rounded down: what is left
        over stays with the device's total."""
        return EnergyUse(
            use.measured_uj // self.replicas, use.estimated_uj // self.replicas, use.known_ns // self.replicas
        )


def together(lives: Mapping[str, Lives], devices: Iterable[tuple[int, Iterable[str]]]) -> EngineStats:
    """One reading of all. devices: (replicas on it, their names), whose clocks are divided by that many."""
    alive = [stats for one in lives.values() if (stats := one.alive) is not None]
    found: dict[str, Any] = {}
    devices = [(count, list(names)) for count, names in devices]
    for name in (one.name for one in fields(EngineStats)):
        if name in COUNTERS:
            found[name] = sum(one.total(name) for one in lives.values())
        elif name not in (*CLOCKS, *ENERGIES):
            found[name] = sum(getattr(stats, name) for stats in alive)
    for name in CLOCKS:
        found[name] = sum(sum(lives[one].total(name) for one in names) // count for count, names in devices)
    for name in ENERGIES:
        shares = (SharedDevice(count).energy_of(lives[one].energy(name)) for count, names in devices for one in names)
        found[name] = sum(shares, NO_ENERGY)
    found["block_tokens"] = max((stats.block_tokens for stats in alive), default=0)
    found["failed"] = not alive
    return EngineStats(**found)
