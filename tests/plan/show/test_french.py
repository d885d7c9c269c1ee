"""French is complete: every message and every text of the catalogue has a line, with the same values in it, every line
is used, and no name is changed on its way through a report."""

from __future__ import annotations

import ast
import csv
import functools
import re
import string
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.plan.show.plans import made

import centime
from centime.catalogue import chips, models
from centime.messages import Writer
from centime.plan import verbs
from centime.plan.lifetime.scaling_laws import LOSS_LAWS, MOE_LAWS
from centime.plan.show.language import french, spaced, writer
from centime.plan.show.terminal import print_sections
from centime.plan.training.means import AffordedPlan

HERE = Path(centime.__file__).parent
ROOMS = ("plan", "catalogue", "charts")
# English that stands in no name, no title and no citation of the catalogue.
ENGLISH = re.compile(
    r"(?<![\w./'-])(the|of|and|with|from|per|than|each|by|for|are|is|was|as|in|it|its|which|table|row|assumed|given|price|"
    r"chip|chips|step|tokens|GPUs|day|days|hour|hours|year|years|month|median|range|list|used|stored|copy)(?![\w./'=-])"
)
TITLES = re.compile(r"The Llama 3 Herd of Models|data center capex")  # of works


def trees() -> Iterator[ast.AST]:
    for room in ROOMS:
        for path in sorted((HERE / room).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


@functools.cache
def messages() -> frozenset[str]:
    """Every literal of say("..."), said("...") and map(w.say, ("...", ...)) in the source."""
    found = set()
    for node in trees():
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first, *rest = node.args
        spoken = [first] if name in ("say", "said") else []
        if (
            name == "map"
            and isinstance(first, ast.Attribute)
            and first.attr == "say"
            and isinstance(rest[0], ast.Tuple)
        ):
            spoken = rest[0].elts
        found |= {one.value for one in spoken if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return frozenset(found)


@functools.cache
def constants() -> frozenset[str]:
    """Every text and every field of the source: labels stand in tables, and under the names of what they label."""
    found = set()
    for node in trees():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value, node.value.replace("_", " ")}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


@functools.cache
def texts() -> frozenset[str]:
    """Every text of the catalogue that a plan shows: titles, sources, notes, terms, rules, why a figure is assumed."""
    shipped = files("centime.catalogue")
    found = {source for _, source in MOE_LAWS.values()} | {law.source for law in LOSS_LAWS.values()}

    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(StringIO(shipped.joinpath(f"{name}.csv").read_text("utf-8"))))

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name)
        elif isinstance(value, str) and (name in {"title", "sources", "source"} or name.endswith("_source")):
            found.add(value.removeprefix("assumption"))

    for folder in ("examples", "scenarios", "."):
        for entry in shipped.joinpath(folder).iterdir():
            if entry.name.endswith(".toml"):
                tree = tomllib.loads(entry.read_text(encoding="utf-8"))
                tree.pop("reported", None)  # where published hours come from is not shown
                walk(tree, "")
    for name, columns in {
        "chips": ("source", "purchase_note"),
        "chip_assumptions": ("why",),
        "prices": ("provider", "terms", "source"),
        "price_history": ("provider", "terms", "source"),
        "currencies": ("source",),
        "export_rules": ("status", "rule", "note"),
        "api_prices": ("terms", "source"),
    }.items():
        found |= {row[column] for row in rows(name) for column in columns}
    found |= {row[key] for row in rows("market") if row["category"] == "capex"
              for key in ("metric", "period_or_date", "note", "source")}  # fmt: skip
    for row in rows("models"):
        found |= {row["source"].removeprefix("config.json as vendored in ")}
        found |= {note.strip() for note in row["assumptions"].split("|")}
    return frozenset(found - {""})


def has_words(message: str) -> bool:
    """Whether there is something to translate between the values: words, or a mark that French spaces otherwise."""
    return bool(re.search(r"[A-Za-z]{2}|[:;!?%$]", re.sub(r"\{[^}]*\}", "", message)))


def test_every_message_has_a_french_line() -> None:
    assert len(messages()) > 340  # the rooms are looked through
    missing = sorted(text for text in messages() if has_words(text) and text not in french())
    assert not missing, "add to plan/show/french/*.toml: " + "; ".join(missing)


def test_every_text_of_the_catalogue_has_a_french_line_or_is_made_of_names() -> None:
    assert len(texts()) > 250
    assert sorted(text for text in texts() if ENGLISH.search(text) and text not in french()) == []


def test_every_line_is_said() -> None:
    assert len(french()) > 700
    assert sorted(line for line in french() if line not in constants() and line not in texts()) == []


def test_a_sentence_stands_in_one_file() -> None:
    lines = [
        line.partition('" = ')[0]
        for entry in (HERE / "plan" / "show" / "french").iterdir()
        for line in entry.read_text(encoding="utf-8").splitlines()
        if line.startswith('"')
    ]
    assert len(lines) == len(set(lines)) == len(french())


def places(line: str) -> set[tuple[str, str]]:
    """(name, kind) of the values in a line; nouns, articles and the grouping of digits are the language's own."""
    return {
        (name, (spec or "").partition("|")[0].split(" ")[0].replace(",", ""))
        for _, name, spec, _ in string.Formatter().parse(line)
        if name is not None
    }


def test_a_translation_keeps_the_values_and_their_kinds() -> None:
    odd = {english: line for english, line in french().items() if "{" in english and places(english) != places(line)}
    assert odd == {}


def test_nouns_have_both_forms_and_lines_their_no_break_spaces() -> None:
    for english, line in french().items():
        for text in (english, line) if "{" in english else ():
            for _, _, spec, _ in string.Formatter().parse(text):
                assert (spec or "").count("|") in (0, 2), text
        assert not re.search(r"\d \d{3}(?!\d)", line), f"a plain space between thousands: {line}"
        assert not re.search(r" [:;!?»%$]|« ", spaced(line)), line


class Listening(Writer):
    """A French writer that keeps what it had no line for."""

    def __init__(self) -> None:
        super().__init__("fr", writer("fr").lines)
        self.unknown: set[str] = set()

    def say(self, message: str, /, **values: Any) -> str:
        if type(message) is str and has_words(message) and message not in self.lines:
            self.unknown.add(message)
        return super().say(message, **values)


def spoken(plan: verbs.Plan, w: Writer) -> str:
    report = verbs.module(verbs.VERBS[plan.verb].report)
    out = StringIO()
    console = Console(file=out, width=10_000, highlight=False, markup=False, emoji=False)
    console.print(report.title(plan, w))
    print_sections(console, report.sections(plan, w))
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("which", range(len(made())))
def test_a_french_page_is_french(which: int) -> None:
    plan, w = made()[which](), Listening()
    text = re.sub(r"«[^»]*»|'\$2/h'", "", spoken(plan, w))
    assert sorted(text for text in w.unknown if ENGLISH.search(text)) == []
    left = {line for line in text.splitlines() if ENGLISH.search(line) and not TITLES.search(line)}
    assert left == set()
    assert not re.search(r"\d\.\d+ ?(%|\$|€|s\b|G|T|M)", text)
    assert not re.search(r"[$€]\d|\d [BTK]\b|\dMd", text)


NAMES = sorted({*models.names(), *chips.chip_names()})
VERSIONS = st.from_regex(r"[A-Z][a-z]{2,6}-?[0-9]\.[0-9]{1,2}-[0-9]{1,4}B( v[0-9]\.[0-9]{3})?", fullmatch=True)
SECTIONS = st.from_regex(r"arXiv 2[0-9]{3}\.[0-9]{5}, section [0-9]\.[0-9]\.[0-9]{1,2}", fullmatch=True)


def renamed(plan: Any, name: str) -> Any:
    """The plan with its model or chip, or whatever else it names, called otherwise."""
    match plan.verb:
        case "train" if isinstance(plan, AffordedPlan):
            return replace(plan, chosen=renamed(plan.chosen, name))
        case "train":
            named = replace(plan.arch, name=name), replace(plan.chip, name=name)
            return replace(plan, arch=named[0], chip=named[1], sources=(name,), assumptions=(name,))
        case "serve":
            return replace(plan, request=replace(plan.request, model=name), chip=replace(plan.chip, name=name))
        case "explain":
            case = replace(plan.a.case, title=name, sources=(name,))
            return replace(plan, a=replace(plan.a, case=case), assumptions=(name,))
        case "diff":
            return replace(plan, a=replace(plan.a, title=name, notes=(name,)))
        case "lifetime":
            return replace(plan, bar=replace(plan.bar, name=name), sources=(name,), assumptions=(name,))
        case "compare":
            column = replace(plan.columns[0], name=name, chip=replace(plan.columns[0].chip, name=name))
            return replace(plan, columns=(column, *plan.columns[1:]))
        case "fleet":
            return replace(plan, scenario=plan.scenario.model_copy(update={"name": name}), sources=[name])
        case "frontier":
            return replace(plan, request=replace(plan.request, model=name), sources=(name,))
        case "breakeven":
            return replace(plan, request=replace(plan.request, model=name), chip=replace(plan.chip, name=name))
        case "budget":
            return replace(plan, chip=name, run_hours={name: next(iter(plan.run_hours.values()))}, assumptions=[name],
                           frontier=[(a, {name: 1.0}, c, d) for a, _, c, d in plan.frontier])  # fmt: skip
    return replace(plan, rows=[replace(row, reason=name) for row in plan.rows])


@pytest.mark.slow
@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.tuples(st.sampled_from(NAMES), VERSIONS, SECTIONS).map(" / ".join))
@example("arXiv 2412.19437, section 4.2.1")
@example("Llama-3.1-405B 0.12T $5 2,048")
def test_no_name_changes_on_its_way_through_a_report(name: str) -> None:
    for make in made():
        text = spoken(renamed(make(), name), writer("fr"))
        assert name in text
