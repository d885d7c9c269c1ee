"""Scenarios from TOML: the shipped ones by name, a person's own by file, and what is wrong with one as sentences."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from centime.catalogue.prices import first_day
from centime.errors import UserError, nearest
from centime.input_files import parse_toml, read_text
from centime.plan.fleet.scenario import FleetScenario
from centime.typed_trees import explain


def shipped() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = files("centime.catalogue").joinpath("scenarios")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load(name_or_file: str) -> FleetScenario:
    """The scenario of a TOML file, or a shipped one by its name. Raises UserError naming the key and the remedy."""
    path = Path(name_or_file)
    if path.suffix == ".toml" or (os.path.lexists(path) and name_or_file not in shipped()):
        return parse(read_text(path, f"a TOML file, or one of {', '.join(shipped())}"), str(path))
    if name_or_file not in shipped():
        hint = nearest(name_or_file, shipped())
        raise UserError(
            f"{name_or_file!r} is neither a file nor a shipped scenario.{hint} Shipped: {', '.join(shipped())}."
        )
    return parse(files("centime.catalogue").joinpath(f"scenarios/{name_or_file}.toml").read_text("utf-8"), name_or_file)


def parse(text: str, where: str) -> FleetScenario:
    """A scenario from TOML text; `where` names it in errors."""
    return validated(parse_toml(text, where), where)


def validated(tree: dict[str, Any], where: str) -> FleetScenario:
    """The scenario of a tree of values. Raises UserError: the key, what was found, what was expected."""
    try:
        scenario = FleetScenario.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error, FleetScenario, 'a scenario')}") from None
    try:
        first_day(scenario.money.price_date)
    except ValueError:
        raise UserError(
            f"{where}: money.price_date {scenario.money.price_date!r} is no date; write YYYY-MM-DD."
        ) from None
    return scenario


def replaced(scenario: FleetScenario, changes: dict[str, Any]) -> FleetScenario:
    """The scenario with each 'section.key' of `changes` set anew, checked again. Raises UserError like `load`."""
    tree = scenario.model_dump()
    for path, value in changes.items():
        node: Any = tree
        *parents, last = path.split(".")
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[last] = value
    return validated(tree, scenario.name)
