"""Metered hours as statements of the ledger, one a part of an hour, whose money adds up to the hour's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from centime.ledger.engines.split import HourPart, MeteredHour, apportioned
from centime.ledger.imported import Imported
from centime.ledger.imports.terms import NamedDevice, Terms


def price_and_devices(text: str) -> tuple[str, int | None]:
    """'$2.10/h x 8' -> ('$2.10/h', 8): the price of an hour of one device, and how many there are; None: not said."""
    match = re.fullmatch(r"\s*(.*?)\s*[x×*]\s*([1-9]\d{0,5})\s*", text)
    return (match[1], int(match[2])) if match else (text, None)


def host_of(origin: str) -> str:
    """Host and port of an address."""
    return urlsplit(origin).netloc.rpartition("@")[2]


class Statements:
    """The statements of one metering of one engine. A part that an hour has no longer is stated as nothing."""

    def __init__(self, origin: str, terms: Terms, begun_ns: int) -> None:
        self._origin, self._terms, self._begun_ns = origin, terms, begun_ns
        self._stated: dict[int, set[str]] = {}  # hour -> names

    def of(self, hours: Iterable[MeteredHour]) -> list[Imported]:
        """One statement a part, the hours in their order."""
        return [statement for hour in hours for statement in self._of_hour(hour)]

    def _of_hour(self, hour: MeteredHour) -> list[Imported]:
        names = self._stated.setdefault(hour.hour, set())
        gone = names - {part.name for part in hour.parts}
        names.update(part.name for part in hour.parts)
        parts = [*hour.parts, *(HourPart(name, 0) for name in sorted(gone))]
        cost, currency, source, parts_cost = money_of(hour, self._terms)
        shares = [*parts_cost, *([0] * len(gone))]
        return [
            Imported(
                id=f"meter:{self._origin}:{self._begun_ns}:{hour.hour}:{part.name}",
                source="meter",
                origin=self._origin,
                name=f"{host_of(self._origin)} {part.name}",
                start_ns=hour.start_ns,
                end_ns=hour.end_ns,
                device=self._terms.device or "",
                device_ns=part.device_ns,
                requests=part.work.requests,
                prompt_tokens=part.work.computed + part.work.cached,
                hit_tokens=part.work.cached,
                output_tokens=part.work.decoded,
                cost_pico=share if cost is not None else None,
                cost_currency=currency,
                cost_source=source,
                measured_uj=part.energy.measured_uj,
                estimated_uj=part.energy.estimated_uj,
                known_ns=part.energy.known_ns,
            )
            for part, share in zip(parts, shares, strict=True)
        ]


def money_of(hour: MeteredHour, terms: Terms) -> tuple[int | None, str, str, list[int]]:
    """(pico-units of the hour, currency, where the price is from, those of each part): the parts' are the hour's sum.

    None, '', '' and noughts without a price.
    """
    cost, currency, source = terms.cost(NamedDevice(terms.device or ""), hour.device_ns)
    if cost is None or not hour.device_ns:
        return cost, currency, source, [0] * len(hour.parts)
    return cost, currency, source, apportioned(cost, [part.device_ns for part in hour.parts])
