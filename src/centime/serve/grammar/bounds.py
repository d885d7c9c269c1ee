"""The bounds of a number in a JSON schema: of its own keywords, and of a format such as int32."""

from __future__ import annotations

import json
import math
from decimal import Decimal

from centime.errors import UserError
from centime.serve.grammar import numbers
from centime.serve.grammar.flat import Schema, number, refuse
from centime.serve.grammar.pattern_nodes import Node

# OpenAPI's formats of numbers, with the bounds that they set.
FORMATS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "float": None, "double": None}


class Bounds:
    """The bounds of a number; `first`, `last`: those of an integer."""

    def __init__(self, flat: Schema, place: str) -> None:
        given = {
            name: Decimal(repr(number(flat[name], name, place)))
            for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            if name in flat
        }
        if any(not one.is_finite() for one in given.values()):
            raise UserError(f"a bound at {place} is no finite number")
        lows = [(given[name], name == "exclusiveMinimum") for name in ("minimum", "exclusiveMinimum") if name in given]
        highs = [(given[name], name != "exclusiveMaximum") for name in ("maximum", "exclusiveMaximum") if name in given]
        self.low: Decimal | None = None
        self.high: Decimal | None = None
        self._above = self._below = False
        if lows:
            self.low, self._above = max(lows)
        if highs:
            self.high, included = min(highs)
            self._below = not included
        if (form := flat.get("format")) is not None:
            if not isinstance(form, str) or form not in FORMATS:
                refuse("format", place, f"is {json.dumps(form)[:60]}, which is not supported")
            if (span := FORMATS[form]) is not None:
                least, most = Decimal(span[0]), Decimal(span[1])
                if self.low is None or self.low < least:
                    self.low, self._above = least, False
                if self.high is None or self.high > most:
                    self.high, self._below = most, False

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None

    @property
    def first(self) -> int | None:
        """The smallest integer."""
        if self.low is None:
            return None
        found = math.ceil(max(self.low, Decimal(-numbers.MOST)).min(Decimal(numbers.MOST + 1)))
        return found + 1 if self._above and found == self.low else found

    @property
    def last(self) -> int | None:
        """The largest integer."""
        if self.high is None:
            return None
        found = math.floor(self.high.min(Decimal(numbers.MOST)).max(Decimal(-numbers.MOST - 1)))
        return found - 1 if self._below and found == self.high else found

    def integers(self) -> Node | None:
        return numbers.integers(self.first, self.last)

    def decimals(self) -> Node | None:
        return numbers.decimals(self.low, self.high, above=self._above, below=self._below)
