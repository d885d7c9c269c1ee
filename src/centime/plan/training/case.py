"""A training run to compare: a shipped example, a card of `plan train`, a TOML file, or 'model=...,gpu=...' in a line.

The shipped examples are catalogue/examples/*.toml: a published run each, or one input of it changed, with sources.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from centime.catalogue.sizes import is_stated
from centime.errors import UserError, nearest
from centime.input_files import parse_toml, read_text
from centime.units import parse_count, parse_price_per_hour


@dataclass(frozen=True)
class RunInputs:
    """The inputs of one training run, as text and numbers that rebuild it; None: as `plan train` fills it.

    tokens: trained on; seq: tokens a sequence; global_batch: sequences a step; layout: "auto" or as `plan train`
    takes it; price: per chip-hour, in `currency`, of `price_date`; reported_gpu_hours: what the run's makers state.
    """

    title: str
    model: str
    gpu: str
    gpus: int
    tokens: float
    seq: int | None = None
    global_batch: int | None = None
    precision: str | None = None
    layout: str | None = None
    software_date: str | None = None
    price: float | None = None
    currency: str = "USD"
    price_date: str | None = None
    sources: tuple[str, ...] = ()
    reported_gpu_hours: float | None = None
    reported_source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The inputs as JSON values; `from_json` takes them back."""
        return dataclasses.asdict(self) | {"sources": list(self.sources)}


def example_names() -> list[str]:
    """The shipped examples, sorted."""
    folder = files("centime.catalogue").joinpath("examples")
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def case(text: str) -> RunInputs:
    """The run that `text` names: an example, a file (card or TOML), or inputs in a line.

    Raises UserError with the nearest example where it is none of these, and naming the key where an input is wrong.
    """
    if "=" in text:
        return _from_line(text)
    path = Path(os.path.expanduser(text))
    if path.suffix == ".json":
        return _from_card(path)
    if path.suffix == ".toml" or (os.path.lexists(path) and text not in example_names()):
        return _from_toml(read_text(path, "a card that `centime plan train --card` wrote, or a TOML file"), text)
    if text in example_names():
        shipped = files("centime.catalogue").joinpath("examples", f"{text}.toml")
        return _from_toml(shipped.read_text(encoding="utf-8"), text)
    raise UserError(
        f"{text!r} is neither an example, nor a file, nor inputs such as 'model=deepseek-v3,gpu=h800,gpus=2048,"
        f"tokens=14.8T'.{nearest(text, example_names())} Examples are {', '.join(example_names())}."
    )


def from_json(found: Mapping[str, Any], where: str = "inputs") -> RunInputs:
    """A case from plain values, quantities as numbers or as people write them. Raises UserError naming the key."""
    fields = {field.name: field for field in dataclasses.fields(RunInputs)}
    values: dict[str, Any] = {}
    for key, value in found.items():
        if key not in fields:
            raise UserError(f"{where}: {key!r} is not an input of a run.{nearest(key, fields)}")
        if value is not None:
            values[key] = _READ.get(key, str)(value, f"{where}: {key}")
    for key in ("model", "gpu", "gpus", "tokens"):
        if key not in values:
            raise UserError(f"{where}: {key!r} is missing; a run needs model, gpu, gpus and tokens.")
    return RunInputs(**{"title": f"{values['model']} on {values['gpus']:,} {values['gpu']}"} | values)


MOST = 1e18  # of any quantity of a run


def _quantity(value: Any, where: str) -> float:
    number = parse_count(value) if isinstance(value, str) else _number(value, where)
    if not 0 < number <= MOST:
        raise UserError(f"{where} is {value}; expected a number above zero, and at most {MOST:g}.")
    return number


def _whole(value: Any, where: str) -> int:
    number = _quantity(value, where)
    if number != int(number):
        raise UserError(f"{where} is {value}; expected a whole number.")
    return int(number)


def _price(value: Any, where: str) -> float:
    number = parse_price_per_hour(value)[0] if isinstance(value, str) else _number(value, where)
    if not 0 <= number <= MOST:
        raise UserError(f"{where} is {value}; a price is at least 0, and at most {MOST:g}.")
    return number


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float):  # true is none
        raise UserError(f"{where} is {value!r}; expected a number.")
    return float(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where} is {value!r}; expected a text.")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{where} is {value!r}; expected a list of sentences.")
    return tuple(str(item) for item in value)


_READ: dict[str, Callable[[Any, str], Any]] = {
    "gpus": _whole,
    "tokens": _quantity,
    "seq": _whole,
    "global_batch": _whole,
    "price": _price,
    "sources": _texts,
    "reported_gpu_hours": _quantity,
} | dict.fromkeys(
    ("title", "model", "gpu", "precision", "layout", "software_date", "currency", "price_date", "reported_source"),
    _text,
)


def _with_currency(found: dict[str, Any]) -> dict[str, Any]:
    """A price written with its currency ('2 EUR/h') sets both inputs."""
    if isinstance(found.get("price"), str) and "currency" not in found:
        found["currency"] = parse_price_per_hour(found["price"])[1]
    return found


def _from_line(text: str) -> RunInputs:
    """'model=deepseek-v3,gpu=h800,layout=pp=16,ep=64': a key that is no input belongs to the layout before it, or is a
    size of the model ('model=16B-A3B,layers=27,gpu=h100')."""
    inputs = {field.name for field in dataclasses.fields(RunInputs)}
    found: dict[str, Any] = {}
    for part in re.split(r"\s*,\s*", text.strip()):
        key, has, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if key in inputs and has:
            found[key] = value.strip()
        elif "model" in found and has and is_stated(part):
            found["model"] += f",{part}"
        elif "layout" in found:
            found["layout"] += f",{part}"
        else:
            raise UserError(
                f"{part!r} in {text!r} is not an input of a run, written as key=value.{nearest(key, inputs)}"
            )
    return from_json(_with_currency(found), repr(text))


def _from_toml(text: str, where: str) -> RunInputs:
    found = parse_toml(text, where)
    reported = found.pop("reported", {})
    if "gpu_hours" in reported:
        found["reported_gpu_hours"] = reported["gpu_hours"]
        found["reported_source"] = reported.get("source", "")
    return from_json(_with_currency(found), where)


def _from_card(path: Path) -> RunInputs:
    """The inputs of a card that `plan train` wrote; what a case has no word for (later stages) is left."""
    from centime.plan.card import read_card

    card = read_card(path)
    if card["verb"] != "train":
        raise UserError(f"{path} is the card of `plan {card['verb']}`; `plan explain` compares cards of `plan train`.")
    if "means" in card["inputs"]:
        raise UserError(
            f"{path} asks what money or time is enough for; `plan explain` compares cards of `plan train` without "
            "--budget and --deadline."
        )
    if card["inputs"].get("lora"):
        raise UserError(f"{path} tunes adapters; `plan explain` compares runs that train the whole model.")
    inputs = {field.name for field in dataclasses.fields(RunInputs)}
    found = {key: value for key, value in card["inputs"].items() if key in inputs}
    return from_json(_with_currency(found), str(path))
