"""The lines of a Prometheus page, as far as somebody asks for them by name."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from centime.errors import UserError

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
UNNAMED = "(unnamed model)"


@dataclass(frozen=True)
class PageSample:
    """One line of a page: a name, its labels, a number of at least 0."""

    name: str
    labels: dict[str, str]
    value: Decimal


def samples_of(text: str, origin: str, wanted: Collection[str]) -> list[PageSample]:
    """The samples whose names are `wanted`, in their order.

    Raises UserError for a line that is no sample, whatever its name, and for a wanted one that is no finite number of
    at least 0; both name the line.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line.strip())
        if match is None:
            raise UserError(f"{origin}, line {number}: {line.strip()[:80]!r} is no sample of a Prometheus page.")
        if match[1] not in wanted:
            continue
        try:
            value = Decimal(match[3])
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or value < 0:
            raise UserError(
                f"{origin}, line {number}: {match[1]} is {match[3]!r}; a counter is a number of at least 0."
            )
        found.append(PageSample(match[1], dict(_LABEL.findall(match[2] or "")), value))
    return found


def model_of(sample: PageSample) -> str:
    """The model that a sample is about."""
    return sample.labels.get("model_name", UNNAMED)
