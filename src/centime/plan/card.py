"""The card of a plan: enough to cite a figure, and to compute it again.

A card is JSON: `card` (the version of its form), `verb`, `command` (as given), `inputs` (as resolved: what the
planner was really asked, dates and prices written out), `centime` (version), `date`, `sha256` (of every catalogue file,
of the fitted constants, of the user's own overlays and of what `catalogue update` fetched, of every file that an input
names, and one of the planner's code), `formulas` (where docs derive them) and `figures` (the plan's top-level numbers).

`inputs` rebuild the plan: `centime.plan.verbs.rebuilt` does it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from centime import __version__
from centime.catalogue.hf.hub import is_hub_name, kept_config
from centime.catalogue.home import centime_home
from centime.errors import UserError
from centime.files.output import Output
from centime.json_files import kind, read_json
from centime.plan.verbs import VERBS, Plan

FORM = 1  # of the card; another number is another set of keys
LONGEST = 4096  # bytes of a path
CONFIG = "config.json"


def make_card(plan: Plan, command: Sequence[str] = (), today: datetime.date | None = None) -> dict[str, Any]:
    """The card of a plan. command: the arguments as given, such as ["plan", "train", "--model", ...]."""
    inputs = plan.inputs()
    return {
        "card": FORM,
        "verb": plan.verb,
        "command": shlex.join(["centime", *command]) if command else "",
        "inputs": inputs,
        "centime": __version__,
        "date": str(today or datetime.date.today()),
        "sha256": hashes(inputs),
        "formulas": list(VERBS[plan.verb].formulas),
        "figures": figures(plan),
    }


def figures(plan: Plan) -> dict[str, float]:
    """The numbers that a card cites: at the top level of the plan's JSON, and of its `interval` and `total`."""
    said = plan.to_json()
    found = dict(_numbers(said))
    for part in ("interval", "total"):
        if isinstance(said.get(part), dict):
            found |= {f"{part}.{key}": value for key, value in _numbers(said[part])}
    return found


def _numbers(of: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((k, v) for k, v in of.items() if isinstance(v, int | float) and not isinstance(v, bool))


def hashes(inputs: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of all that a plan's numbers come from, by path within the package, and of the files that its inputs name,
    by those names."""
    package = files("centime")
    found = {}
    code = hashlib.sha256()
    for room in ("catalogue", "plan"):
        for path, entry in _below(package.joinpath(room), room):
            if path.endswith((".csv", ".json")) or (path.endswith(".toml") and "/french/" not in path):
                found[path] = hashlib.sha256(entry.read_bytes()).hexdigest()
            elif path.endswith(".py"):
                code.update(path.encode() + b"\0" + entry.read_bytes())
    found["code"] = code.hexdigest()
    home = centime_home()
    for own in sorted(path for pattern in ("*.csv", "*.toml", "refreshed/*.csv") for path in home.glob(pattern)):
        found[f"$CENTIME_HOME/{own.relative_to(home).as_posix()}"] = hashlib.sha256(own.read_bytes()).hexdigest()
    for name in _texts(inputs):
        file = _named(name)
        if file is not None:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _texts(value: Any) -> Iterator[str]:
    """Every text in a tree of values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for one in value.values() for text in _texts(one))
    elif isinstance(value, list | tuple):
        yield from (text for one in value for text in _texts(one))


def _named(name: str) -> Path | None:
    """The file that a text names: itself, or the config.json of a folder or of a model that the Hub was asked for."""
    if not name or len(name) > LONGEST or "\0" in name:
        return None
    for file in (Path(name), Path(name, CONFIG), *([kept_config(name)] if is_hub_name(name) else [])):
        try:
            if file.is_file():
                return file
        except OSError:  # longer than the file system takes, and so no name
            return None
    return None


def _below(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _below(entry, path)
        else:
            yield path, entry


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Writes the card as JSON. Raises UserError where it cannot be written."""
    card_file(path).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def card_file(path: Path) -> Output:
    """Where a card goes: over nothing but another card."""
    return Output(path, "a card", "name another --card file", lambda found: bool(read_card(found)))


def read_card(path: Path) -> dict[str, Any]:
    """The card in a file: a card itself, or the --json output of a plan, which carries one.

    Raises UserError where the file cannot be read, or is no card of a form and a verb that this centime knows.
    """
    found = read_json(path, "give a card that a plan wrote with --card")
    if isinstance(found, dict) and isinstance(found.get("card"), dict):
        found = found["card"]
    if not isinstance(found, dict) or "card" not in found:
        raise UserError(f"{path} is not a card: it has no key 'card'; give one that a plan wrote with --card.")
    if found["card"] != FORM:
        raise UserError(
            f"{path}: form {found['card']!r} of a card is not known; this centime writes and reads form {FORM}."
        )
    for key, wanted in (("verb", str), ("inputs", dict), ("figures", dict), ("sha256", dict), ("centime", str)):
        if not isinstance(found.get(key), wanted):
            raise UserError(f"{path}: key {key!r} of the card is missing or mangled; write the card again with --card.")
    for key, value in found["figures"].items():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise UserError(f"{path}: figures.{key} of the card is {kind(value)}; expected a number.")
    for key, value in found["sha256"].items():
        if not isinstance(value, str):
            raise UserError(f"{path}: sha256.{key} of the card is {kind(value)}; expected a text.")
    if found["verb"] not in VERBS:
        raise UserError(f"{path}: {found['verb']!r} is not a plan; a card's verb is one of {', '.join(VERBS)}.")
    return found
