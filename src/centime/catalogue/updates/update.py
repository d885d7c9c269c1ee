"""One source fetched, read, and written as a file of the user's, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from centime.catalogue.refreshed import COLUMNS, refreshed_path
from centime.catalogue.updates import epoch, litellm, skypilot
from centime.catalogue.updates.found import Found, named
from centime.catalogue.updates.places import CataloguePlace
from centime.errors import UserError, nearest
from centime.files.durable import made_folders, write_text
from centime.units import plural

# source -> where it is public, and what reads it
SOURCES: dict[str, tuple[str, Callable[[CataloguePlace], Found]]] = {
    "skypilot": (skypilot.URL, skypilot.read_skypilot),
    "litellm": (litellm.URL, litellm.read_litellm),
    "epoch": (epoch.URL, epoch.read_epoch),
}
_WHAT = {"skypilot": "price of an hour", "litellm": "price list", "epoch": "release price"}


@dataclass(frozen=True)
class Refresh:
    """What an update of one source did."""

    source: str
    place: CataloguePlace
    path: Path
    found: Found

    def as_json(self) -> dict[str, Any]:
        """Where from, where to, how many, and what was left out by name and by reason."""
        return {
            "source": self.source,
            "from": self.place.address,
            "date": self.place.day(),
            "file": str(self.path),
            "rows": len(self.found.rows),
            "unknown": dict(sorted(self.found.unknown.items())),
            "unused": dict(sorted(self.found.unused.items())),
            "missing": sorted(self.found.missing),
        }

    def __str__(self) -> str:
        rows, unknown, unused = self.found.rows, self.found.unknown, self.found.unused
        lines = [f"{self.source}: {_counted(len(rows), _WHAT[self.source])} of {self.place.day()} in {self.path}."]
        if unknown:
            lines.append(
                f"  Left out, for centime has no row of them: {plural(unknown.total(), 'entry', 'entries')} of "
                f"{plural(len(unknown), 'name')}: {named(unknown)}."
            )
        if unused:
            lines.append(
                "  Passed over: " + "; ".join(f"{why}: {count:,}" for why, count in sorted(unused.items())) + "."
            )
        if self.found.missing:
            lines.append(f"  No table of {named(self.found.missing)}.")
        return "\n".join(lines)


def update(source: str, address: str | None = None) -> Refresh:
    """Fetches a source from its public address, or from `address` (a URL, or a copy on this machine), into
    $CENTIME_HOME/refreshed. Raises UserError, and then what was there before stands as it was."""
    if source not in SOURCES:
        raise UserError(f"There is no source {source!r}.{nearest(source, SOURCES)} Known: {', '.join(SOURCES)}.")
    url, read = SOURCES[source]
    by_hand = f"check the network, or bring {url} here by hand and name it with --from"
    place = CataloguePlace(address or url, by_hand + "; the prices are as they were")
    found, path = read(place), refreshed_path(source)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS[source], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.rows)
    try:
        with made_folders(path.parent):
            write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); set CENTIME_HOME to a folder that can."
        ) from None
    return Refresh(source, place, path, found)


def _counted(count: int, what: str) -> str:
    head, of, rest = what.partition(" of ")
    return plural(count, head) + of + rest
