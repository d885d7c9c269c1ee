"""What the planner says, in English and in French.

    w = writer(lang)                                   # once a page
    w.say("Step time")                                 # a label
    w.say("{tried:,} layouts tried", tried=21_340)     # a sentence with values (centime/messages.py names their kinds)
    w.say(note)                                        # a note, made with `said` where its figure is computed

The English sentence is the message's name, so that code reads as it speaks. French lives in plan/show/french/*.toml,
one file a part of the planner, a line a sentence: `"Step time" = "Durée d'un pas"`. Tests read the source and the
catalogue, and name every sentence without a French line and every line that nothing says.
"""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files

from centime.errors import UserError
from centime.messages import THIN, Writer

LANGUAGES = ("en", "fr")


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
    return line.replace("« ", "«\u00a0").replace(" %", f"{THIN}%").replace(" $", f"{THIN}$")


@functools.cache
def french() -> dict[str, str]:
    """Every French line of plan/show/french/*.toml by its English sentence."""
    found: dict[str, str] = {}
    for entry in files("centime.plan.show").joinpath("french").iterdir():
        if entry.name.endswith(".toml"):
            found |= tomllib.loads(entry.read_text(encoding="utf-8"))
    return found
