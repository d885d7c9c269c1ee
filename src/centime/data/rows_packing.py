"""Examples of different lengths into rows of one length: few rows, and always the same for the same lengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def packed(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which examples share a row of `room` tokens, by number; every example, of at most `room`, is in one row.

    Best fit, the longest first: each goes where it leaves the least room. Rows left open are kept by their room, and
    the bits of one whole number say which rooms there are, so that the best is found at once.
    """
    rows: list[list[int]] = []
    open_: dict[int, list[int]] = defaultdict(list)  # room left -> rows
    rooms = 0  # bit r is set where open_[r] holds a row
    for example in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length = lengths[example]
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            row = open_[left].pop()
            if not open_[left]:
                rooms &= ~(1 << left)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(example)
        open_[left - length].append(row)
        rooms |= 1 << (left - length)
    return rows
