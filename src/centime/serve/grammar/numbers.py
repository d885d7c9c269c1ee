"""Numbers within bounds as patterns over their decimal digits.

Bounded numbers have at most 15 significant digits: so many every double tells apart, so that a text above a bound is a
double above it too.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from centime.serve.grammar.ebnf import Ranges
from centime.serve.grammar.pattern_nodes import Alt, Chars, Node, Repeat, Seq

MOST = 10**18 - 1  # of an integer: nineteen digits are more than 64 bits hold
EXACT = 15  # significant decimal digits that a double keeps
FRACTION = 6  # digits after the point, where no bound has more
DIGIT: Ranges = ((0x30, 0x39),)


def _digits(low: str, high: str) -> Chars:
    return Chars(((ord(low), ord(high)),))


MINUS = Chars(((0x2D, 0x2D),))
POINT = Chars(((0x2E, 0x2E),))
_WHOLE = Alt((_digits("0", "0"), Seq((_digits("1", "9"), Repeat(Chars(DIGIT), 0, 17)))))
INTEGER: Node = Seq((Repeat(MINUS, 0, 1), _WHOLE))
_EXPONENT = Seq(
    (Chars(((0x45, 0x45), (0x65, 0x65))), Repeat(Chars(((0x2B, 0x2B), (0x2D, 0x2D))), 0, 1), Repeat(Chars(DIGIT), 1, 2))
)
NUMBER: Node = Seq((INTEGER, Repeat(Seq((POINT, Repeat(Chars(DIGIT), 1, 17))), 0, 1), Repeat(_EXPONENT, 0, 1)))


def integers(low: int | None, high: int | None) -> Node | None:
    """Integers from low to high, both included; None when there are none of at most 18 digits."""
    if low is None and high is None:
        return INTEGER
    low, high = max(low if low is not None else -MOST, -MOST), min(high if high is not None else MOST, MOST)
    choices = [] if high < 0 else _counts(max(low, 0), high)
    if low < 0:
        choices += [Seq((MINUS, one)) for one in _counts(max(-high, 1), -low)]
    return Alt(tuple(choices)) if choices else None


def decimals(low: Decimal | None, high: Decimal | None, *, above: bool, below: bool) -> Node | None:
    """Numbers from low to high without exponents; above, below: without the bound itself. None: there are none."""
    if low is None and high is None:
        return NUMBER
    places = min(12, max(FRACTION, *(-int(one.as_tuple().exponent) for one in (low, high) if one is not None)))
    most = 10**EXACT - 1
    least, last = -most, most
    if low is not None and abs(low) < Decimal(10) ** 40:
        scaled = low.scaleb(places)
        least = int(scaled.to_integral_value(ROUND_CEILING))
        least += above and least == scaled
    if high is not None and abs(high) < Decimal(10) ** 40:
        scaled = high.scaleb(places)
        last = int(scaled.to_integral_value(ROUND_FLOOR))
        last -= below and last == scaled
    if (low is not None and low >= 10**40) or (high is not None and high <= -(10**40)):
        return None
    choices = _scaled(max(least, 0), min(last, most), places)
    choices += [Seq((MINUS, one)) for one in _scaled(max(-last, 1), min(-least, most), places)]
    first, final = -(-max(least, -most * 10**places) // 10**places), min(last, most * 10**places) // 10**places
    if (whole := integers(max(first, -most), min(final, most))) is not None and first <= final:
        choices.append(whole)
    return Alt(tuple(choices)) if choices else None


def _counts(low: int, high: int) -> list[Node]:
    """Integers that are not negative, low to high, without leading zeros."""
    found = []
    for length in range(len(str(low)), len(str(high)) + 1):
        least, most = max(low, 10 ** (length - 1) if length > 1 else 0), min(high, 10**length - 1)
        if least <= most:
            found.append(_same_length(str(least), str(most)))
    return found


def _same_length(low: str, high: str) -> Node:
    """Texts of digits as long as the two, between them."""
    if not low:
        return Seq()
    rest = len(low) - 1
    if low[0] == high[0]:
        return Seq((_digits(low[0], low[0]), _same_length(low[1:], high[1:])))
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return Seq((_digits(low[0], high[0]), Repeat(Chars(DIGIT), rest, rest)))
    if low[1:] == "0" * rest:
        upper = Seq((_digits(high[0], high[0]), _same_length("0" * rest, high[1:])))
        return Alt((_same_length(low, f"{int(high[0]) - 1}{'9' * rest}"), upper))
    lower = Seq((_digits(low[0], low[0]), _same_length(low[1:], "9" * rest)))
    return Alt((lower, _same_length(f"{int(low[0]) + 1}{'0' * rest}", high)))


def _scaled(low: int, high: int, places: int) -> list[Node]:
    """Decimals that are not negative, low to high in units of the last place."""
    if low > high:
        return []
    unit = 10**places
    (first, lower), (last, upper) = divmod(low, unit), divmod(high, unit)
    if first == last:
        return [_with_fraction(first, first, lower, upper, places)]
    found = [_with_fraction(first, first, lower, unit - 1, places), _with_fraction(last, last, 0, upper, places)]
    if first + 1 < last:
        found.append(_with_fraction(first + 1, last - 1, 0, unit - 1, places))
    return found


def _with_fraction(first: int, last: int, lower: int, upper: int, places: int) -> Node:
    whole = Alt(tuple(_counts(first, last)))
    digits = _fraction(f"{lower:0{places}d}", f"{upper:0{places}d}")
    fraction = Seq((POINT, Alt(tuple(digits))))
    return Seq((whole, Repeat(fraction, 0, 1) if lower == 0 else fraction))


def _fraction(low: str, high: str) -> list[Node]:
    """Digits after a point, at least one and at most as many as the bounds have, between them."""
    rest = len(low) - 1

    def after(first: str, low: str, high: str) -> Node:
        """The digit `first`, then nothing (zeros) where that is within the bounds, or more digits."""
        head = _digits(first, first)
        if not low:
            return head
        more = Alt(tuple(_fraction(low, high)))
        return Seq((head, Repeat(more, 0, 1) if int(low) == 0 else more))

    if low[0] == high[0]:
        return [after(low[0], low[1:], high[1:])]
    found = [after(low[0], low[1:], "9" * rest), after(high[0], "0" * rest, high[1:])]
    if int(low[0]) + 1 < int(high[0]):
        middle = _digits(str(int(low[0]) + 1), str(int(high[0]) - 1))
        found.append(Seq((middle, Repeat(Chars(DIGIT), 0, rest))))
    return found
