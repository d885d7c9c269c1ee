"""Which intervals a person means by a run: its folder, or its name."""

from __future__ import annotations

import os
from pathlib import Path

from centime.catalogue.prices import Price
from centime.errors import UserError, nearest
from centime.ledger.billing.own_files import training_elsewhere
from centime.ledger.book import name_of
from centime.ledger.interval import Interval


def intervals_of(intervals: list[Interval], run: str | None) -> list[Interval]:
    """The intervals of `run`, or all of them for None.

    A path means that folder alone; a bare word means the folder of that name here, if the book knows it, else the run
    of that name wherever it lies. Raises UserError when the book knows none, with the nearest names, or when several
    folders share the name.
    """
    if run is None:
        return intervals
    name, path = name_of(run)
    if path is not None:
        found = [interval for interval in intervals if interval.run_path == path]
        if found or os.sep in run.rstrip(os.sep):
            return found or _unknown(run, path, [i.run_path or "" for i in _came_to_something(intervals)])
    found = [interval for interval in intervals if interval.run == name]
    folders = sorted({interval.run_path or "(no folder)" for interval in found})
    if len(folders) > 1:
        raise UserError(f"{len(folders)} runs are called {name!r}: {', '.join(folders)}; give the folder's path.")
    return found or _unknown(run, path, [i.run for i in _came_to_something(intervals)])


def with_price(intervals: list[Interval], price: Price | None) -> list[Interval]:
    """The same, with `price` set on those that were booked without one (in memory; the book stays as it is)."""
    if price is None:
        return intervals
    for interval in intervals:
        if interval.price_per_hour is None:
            interval.set_price(price)
    return intervals


# Verbs that count what they read or write: those that booked nothing of it had failed.
_COUNTING = {"data", "evaluate", "generate", "chat"}


def _came_to_something(intervals: list[Interval]) -> list[Interval]:
    """Intervals of what a person may ask for; not of verbs that ended before they did anything."""
    return [i for i in intervals if i.tokens or (i.stage != "startup" and i.verb not in _COUNTING)]


def _unknown(run: str, path: str | None, known: list[str]) -> list[Interval]:
    elsewhere = training_elsewhere(Path(path), run) if path is not None else None
    if elsewhere is not None:
        raise UserError(f"{elsewhere}.{_nearest_folder(run, known)}")
    names = list(dict.fromkeys(filter(None, reversed(known))))  # the latest first
    if not names:
        raise UserError(f"the ledger has no run {run!r}: no run has been booked yet.")
    hint = nearest(run, names) or _nearest_folder(run, names)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise UserError(f"the ledger has no run {run!r}.{hint} It knows: {shown}.")


def _nearest_folder(run: str, names: list[str]) -> str:
    """A folder elsewhere with the same last name: the run may have been moved."""
    last = Path(run).name
    same = [name for name in names if Path(name).name == last]
    return f" Did you mean {same[0]!r}?" if same else ""
