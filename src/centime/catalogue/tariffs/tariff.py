"""A price list as requests are charged by it: amounts from an instant on, with the lists that were in force before."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from centime.catalogue.tariffs.amounts import TokenPrices
from centime.catalogue.tariffs.peak_hours import PeakHours, deepseek_hours

Hours = Literal["", "peak", "off-peak"]
"""Which price applied: '' where a list has one price for all hours."""


class Asked(NamedTuple):
    """What is asked at an instant: by which list, and why that is a reading of it ('' where the list is plain)."""

    amounts: TokenPrices
    hours: Hours
    name: str = ""
    doubt: str = ""


def _newest_hours() -> PeakHours:
    return deepseek_hours()[-1][1]


@dataclass(frozen=True)
class Tariff:
    """A price list, the newest there is of its name. `off_peak` None: one price for all hours.

    since_ns: the instant (nanoseconds since the epoch) from which it is asked, 0 where nobody said. earlier: the lists
    that were asked before it, oldest first; a moment before the first of them is priced by that one.
    """

    name: str
    currency: str
    peak: TokenPrices
    off_peak: TokenPrices | None = None
    hours: PeakHours = dataclasses.field(default_factory=_newest_hours)
    since_ns: int = 0
    earlier: tuple[Tariff, ...] = ()

    def in_force(self, wall_ns: int) -> Tariff:
        """The list that is asked at a moment, in nanoseconds since the epoch."""
        if wall_ns >= self.since_ns or not self.earlier:
            return self
        return next((one for one in reversed(self.earlier) if wall_ns >= one.since_ns), self.earlier[0])

    def at(self, wall_ns: int) -> tuple[TokenPrices, Hours]:
        """The amounts at a moment, in nanoseconds since the epoch, and which they are."""
        return self.asked(wall_ns)[:2]

    def asked(self, wall_ns: int) -> Asked:
        """All that is asked at a moment, in nanoseconds since the epoch."""
        own = self.in_force(wall_ns)
        if own.off_peak is None:
            return Asked(own.peak, "", own.name)
        doubt = own.hours.doubt(wall_ns)
        if own.hours.contain(wall_ns):
            return Asked(own.peak, "peak", own.name, doubt)
        return Asked(own.off_peak, "off-peak", own.name, doubt)

    def with_hours(self, hours: PeakHours) -> Tariff:
        """The same prices with other peak hours, those of before too."""
        return dataclasses.replace(self, hours=hours, earlier=tuple(one.with_hours(hours) for one in self.earlier))

    def as_text(self) -> str:
        """JSON, for the book."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_text(text: str) -> Tariff:
        """What `as_text` wrote, in this version or an earlier one, which knew of no instants."""
        return _tariff(json.loads(text))

    def __str__(self) -> str:
        if self.off_peak is None:
            return f"{self.name}: {self.peak} {self.currency} per million tokens (hit/miss/output)"
        return (
            f"{self.name}: {self.peak} {self.currency} per million tokens (hit/miss/output) at peak, "
            f"{self.hours}; else {self.off_peak}"
        )


def _tariff(values: dict[str, Any]) -> Tariff:
    hours = values["hours"]
    return Tariff(
        values["name"],
        values["currency"],
        TokenPrices(**values["peak"]),
        TokenPrices(**values["off_peak"]) if values["off_peak"] else None,
        PeakHours(
            tuple((start, end) for start, end in hours["windows"]),
            tuple(hours["days"]),
            hours.get("offset", 0),
            hours.get("holidays", ""),
        ),
        values.get("since_ns", 0),
        tuple(_tariff(one) for one in values.get("earlier", ())),
    )
