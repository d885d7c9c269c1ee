"""What the planner says, in English and in French.

The English sentence is the key, so that code reads as it speaks:

    say = words(lang)                                  # once, in sections(lang)
    say("Step time")                                   # a label
    say("{tried} layouts tried", tried=21_340)         # a sentence with values
    say(note)                                          # a note (plan/notes.py), made where its figure is computed

French lives in plan/show/french/*.toml, one file a part of the planner, a line a
sentence: `"Step time" = "Durée d'un pas"`. A test reads the source and names every sentence without a French line.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from centime.errors import UserError
from centime.messages import THIN, Said, Writer
from centime.plan.show.french_figures import figures_in_french, prose_in_french
from centime.plan.show.french_phrases import phrases_in_french

LANGUAGES = ("en", "fr")

Words = Callable[..., str]


def words(lang: str) -> Words:
    """The speaker of a language. Raises UserError on any but en and fr."""
    if lang not in LANGUAGES:
        raise UserError(f"{lang!r} is not a language the planner speaks; write --lang en or --lang fr.")
    return _english if lang == "en" else _french


@functools.cache
def writer(lang: str) -> Writer:
    """What says messages and writes figures in a language. Raises UserError on any but en and fr."""
    if lang not in LANGUAGES:
        raise UserError(f"{lang!r} is not a language the planner speaks; write --lang en or --lang fr.")
    return Writer(lang, {} if lang == "en" else {english: spaced(line) for english, line in french().items()})


def spaced(line: str) -> str:
    """A French line with its no-break spaces: none begins with a colon, and quotation marks hold what they quote."""
    for mark in ":;!?»":
        line = line.replace(f" {mark}", f"\u00a0{mark}")
    return line.replace("« ", "«\u00a0").replace(" %", f"{THIN}%")


def _english(text: str, **values: Any) -> str:
    return text.format(**values) if values else str(text)


def _french(text: str, **values: Any) -> str:
    if isinstance(text, Said):
        values = text.values
        text = text.template
    translated = french().get(text)
    if translated is None:
        translated = phrases_in_french(text)
    inner = {key: _french(value) if isinstance(value, Said) else value for key, value in values.items()}
    return prose_in_french(translated.format(**inner) if values else translated)


@functools.cache
def french() -> dict[str, str]:
    """Every French line of plan/show/french/*.toml by its English sentence."""
    found: dict[str, str] = {}
    for entry in files("centime.plan.show").joinpath("french").iterdir():
        if entry.name.endswith(".toml"):
            found |= tomllib.loads(entry.read_text(encoding="utf-8"))
    return found


def number(text: str, lang: str) -> str:
    """A figure, or a sentence with figures, as the language writes it: '$2,788.5' is '2 788,5 $' in French (narrow
    no-break spaces), '14.8 T tokens' are '14 800 Md de jetons'. Versions in names (Llama-3.1, V3.2) and arXiv's numbers
    stay as they are."""
    return figures_in_french(text) if lang == "fr" else text
