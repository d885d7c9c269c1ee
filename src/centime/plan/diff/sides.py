"""A side of `centime plan diff`, as a plan's inputs: a card, a recipe, a run, a scenario, a model's configuration."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from centime.catalogue.chips import chip
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.prices import day, price_given
from centime.errors import UserError
from centime.input_files import parse_toml, read_text
from centime.messages import said
from centime.plan.card import read_card
from centime.plan.fleet.hardware import resolve
from centime.plan.fleet.scenario_file import load, shipped
from centime.plan.training.case import RunInputs, case, example_names

COMPARED = ("train", "serve", "fleet")
SEED, DRAWS = 0, 1000  # of a fleet that is named by its scenario: those of `centime plan fleet`
READABLE = "a card, a recipe, a run, a scenario or a config.json"
RECIPE_TABLES = {"data", "train", "context", "sft", "optimizer", "run"}


@dataclass(frozen=True)
class Options:
    """What completes a side that does not say it itself: of a recipe the chips, of a config.json the tokens too.

    isl or osl: a config.json is served, with requests of such lengths, instead of trained. Raises UserError on a chip,
    a price or a day that is none, whether a side needs it or not.
    """

    gpu: str | None = None
    gpus: int | None = None
    tokens: float | None = None
    precision: str | None = None
    layout: str | None = None
    price: str | None = None
    date: str | None = None
    isl: float | None = None
    osl: float | None = None

    def __post_init__(self) -> None:
        if self.gpu is not None:
            chip(self.gpu)
        if self.price is not None:
            price_given(self.price)
        if self.date is not None:
            day(self.date)


@dataclass(frozen=True)
class Side:
    """What is compared: the sub-verb whose plan it is, the inputs of that plan as its card keeps them, and what its
    card said that it costs (None: it is no card)."""

    title: str
    verb: str
    inputs: Mapping[str, Any]
    said_cost: float | None = None
    notes: tuple[str, ...] = ()


RecipeReader = Callable[[Path], Mapping[str, Any]]  # what centime.recipe.planned offers


def side(text: str, options: Options, from_recipe: RecipeReader) -> Side:
    """What `text` names. Raises UserError where it is nothing that can be planned, or says too little."""
    path = Path(os.path.expanduser(text))
    if "=" in text and not os.path.lexists(path):
        return _of_run(case(text), text, options)
    if os.path.isdir(path) or path.name == "config.json":
        return _of_model(text, options)
    if path.suffix == ".json":
        return _of_card(path, options)
    if path.suffix == ".toml" or (os.path.lexists(path) and text not in example_names() + shipped()):
        tree = parse_toml(read_text(path, READABLE), text)
        if {"demand", "serving", "money"} <= tree.keys():
            return _of_scenario(text)
        if RECIPE_TABLES & tree.keys() or isinstance(tree.get("model"), dict):
            return _of_recipe(path, options, from_recipe)
        return _of_run(case(text), text, options)
    if text in shipped():
        return _of_scenario(text)
    if text in example_names():
        return _of_run(case(text), text, options)
    raise UserError(
        f"{text!r} is none of {READABLE}: no such file, no shipped run ({', '.join(example_names())}) and no shipped "
        f"scenario ({', '.join(shipped())})."
    )


def _of_card(path: Path, options: Options) -> Side:
    card = read_card(path)
    verb = card["verb"]
    if verb not in COMPARED:
        raise UserError(
            f"{path} is the card of `plan {verb}`; `plan diff` compares those of {', '.join(COMPARED[:-1])} and "
            f"{COMPARED[-1]}."
        )
    inputs = dict(card["inputs"])
    if "means" in inputs:
        raise UserError(
            f"{path} asks what money or time is enough for; give cards of `plan train` that have --tokens, --gpu and "
            "--gpus instead of --budget and --deadline."
        )
    if verb == "train":
        inputs = _completed(inputs, options)
    cost = card["figures"].get({"train": "cost", "serve": "cost_per_day"}.get(verb, ""))
    return Side(str(path), verb, inputs, cost)


def _of_scenario(text: str) -> Side:
    scenario, _ = resolve(load(text))
    return Side(text, "fleet", {"scenario": scenario.model_dump(mode="json"), "seed": SEED, "draws": DRAWS})


def _of_run(run: RunInputs, text: str, options: Options) -> Side:
    price = None if run.price is None else f"{run.price:g} {run.currency}/h"
    if price is None and run.price_date is not None:
        known = gpu_hour(chip(run.gpu), run.price_date)
        price = f"{known.per_device_hour:g} {known.currency}/h"
    inputs = {
        "model": run.model,
        "tokens": run.tokens,
        "gpu": run.gpu,
        "gpus": run.gpus,
        "seq": run.seq,
        "global_batch": run.global_batch,
        "precision": run.precision,
        "layout": run.layout,
        "software_date": run.software_date,
        "price": price,
        "extension": [],
        "post_hours": 0.0,
    }
    return Side(text, "train", _completed(inputs, options))


def _of_recipe(path: Path, options: Options, from_recipe: RecipeReader) -> Side:
    found = dict(from_recipe(path))
    vocabulary, tuned = found.pop("vocabulary"), found.pop("tuned")
    notes: list[str] = []
    if vocabulary is not None:
        notes.append(
            said(
                "{file}: a vocabulary of {size:,} tokens (assumption); a run takes its tokenizer's.",
                file=str(path),
                size=vocabulary,
            )
        )
    if tuned:
        notes.append(said("{file}: supervised tuning is not counted, as its pairs are not read.", file=str(path)))
    return Side(str(path), "train", _complete(_completed(found, options), str(path)), notes=tuple(notes))


def _of_model(text: str, options: Options) -> Side:
    if options.isl is None and options.osl is None:
        return Side(text, "train", _complete(_completed({"model": text}, options), text))
    inputs = {key: getattr(options, key) for key in ("gpu", "gpus", "precision", "price", "date", "isl", "osl")}
    if options.gpu is None or options.gpus is None:
        raise UserError(
            f"{text} says a model alone: to serve it give --gpu and --gpus too, such as --gpu h800 --gpus 8."
        )
    return Side(text, "serve", {"model": text} | {key: value for key, value in inputs.items() if value is not None})


def _completed(inputs: dict[str, Any], options: Options) -> dict[str, Any]:
    """Inputs of `plan train` with what they leave open taken from the options."""
    fields = {field.name for field in dataclasses.fields(options)} - {"isl", "osl"}
    given = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    return {**inputs, **{name: value for name, value in given.items() if inputs.get(name) is None}}


def _complete(inputs: dict[str, Any], where: str) -> dict[str, Any]:
    """The inputs. Raises UserError naming the options that they still need."""
    missing = [f"--{name}" for name in ("gpu", "gpus", "tokens") if inputs.get(name) is None]
    if missing:
        raise UserError(
            f"{where} does not say all that a plan needs: give {' and '.join(missing)} too, "
            "such as --gpu h800 --gpus 64 --tokens 1T."
        )
    return inputs
