"""Every sentence that the planner says has a French line, with the same values in it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import centime.plan
from centime.plan.show.french_figures import prose_in_french
from centime.plan.show.language import french, number, words
from centime.units import format_count

HERE = Path(centime.plan.__file__).parent


def sentences() -> Iterator[tuple[str, str]]:
    """(file, sentence) of every say("...") and said("...") in the source."""
    for path in sorted([*HERE.rglob("*.py"), *(HERE.parent / "charts").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.func if isinstance(node.func, ast.Call) else node.func
            if isinstance(called, ast.Name) and called.id in ("say", "said", "words"):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield str(path.relative_to(HERE.parent)), first.value


def test_every_sentence_has_a_french_line() -> None:
    assert len(set(sentences())) > 350  # the rooms are looked through
    missing = sorted({f"{file}: {text!r}" for file, text in sentences() if text not in french()})
    assert not missing, "add to plan/show/french/*.toml: " + "; ".join(missing)


def test_a_translation_keeps_the_values() -> None:
    def names(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)", text))

    assert not [english for english, said in french().items() if names(english) != names(said)]


@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("62.9 B", "62,9 Md"),
        ("14.8 T tokens", "14\u202f800 Md tokens"),
        ("14.8 T jetons", "14\u202f800 Md de jetons"),
        ("512 jetons, 2.5 M jetons", "512 jetons, 2,5 M de jetons"),
        ("1.02 P", "1\u202f020\u202f000 Md"),
        ("$88.0 K", "88,0 k\u202f$"),
        ("$2.5 B a day", "2,5 Md\u202f$ a day"),
        ("2.77 M heures", "2,77 M d'heures"),
        ("74.5 GiB at 3.35 TB/s", "74,5 Gio at 3,35 To/s"),
        ("-12.3 %", "-12,3\u202f%"),
        ("H800 SXM 80GB, Qwen3-1.7B, Llama-3.1-405B, V3.2", "H800 SXM 80GB, Qwen3-1.7B, Llama-3.1-405B, V3.2"),
        ("989 TFLOPS", "989 TFLOPS"),
    ],
)
def test_figures_are_written_as_french_writes_them(english: str, said: str) -> None:
    assert number(english, "fr") == said
    assert number(english, "en") == english


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comme le 2025-02-27", "comme le 27 février 2025"),
        ("depuis 2025-07", "depuis juillet 2025"),
        ("depuis 2023-10-17", "depuis le 17 octobre 2023"),
        ("prix du 2026-06", "prix de juin 2026"),
        ("prix du 2026-08", "prix d'août 2026"),
        ("de 2025-03 à 2027-02", "de mars 2025 à février 2027"),
        ("Au 2026-05-01.", "Au 1ᵉʳ mai 2026."),
        ("US BIS rule 2023-10-17, 2024-12-27", "US BIS rule 2023-10-17, 2024-12-27"),
        ("la fin : « oui »", "la fin\u00a0: «\u00a0oui\u00a0»"),
    ],
)
def test_dates_in_prose_are_words(text: str, said: str) -> None:
    assert prose_in_french(text) == said


@given(st.floats(1, 9.9e17))
def test_no_count_keeps_its_english_letter(value: float) -> None:
    assert not re.search(r"[BTPK]", number(format_count(value), "fr"))


def sources() -> set[str]:
    """Titles, notes and sources of the examples, the scenarios and the budget's inputs, as plans show them."""
    found: set[str] = set()

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name)
        elif isinstance(value, str) and (name in {"title", "sources", "source"} or name.endswith("_source")):
            found.add(value)

    shipped = files("centime.catalogue")
    for folder in ("examples", "scenarios"):
        for entry in shipped.joinpath(folder).iterdir():
            tree = tomllib.loads(entry.read_text(encoding="utf-8"))
            tree.pop("reported", None)  # where published hours come from is not shown
            walk(tree, "")
    return found


def test_titles_and_sources_have_a_french_line() -> None:
    def has(text: str) -> bool:
        return text in french() or text.removeprefix("assumption") in french() or text == "assumption"

    assert sorted(text for text in sources() if not has(text)) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("predicted by centime plan serve: x on H800", "prédit par centime plan serve : x sur H800"),
        ("a rental (2026-04, 242 days old)", "a rental (2026-04, il y a 242 jours)"),
        (
            "H20 96GB: scaleout_gb_s 50, assumed 400 Gb/s per chip as on H100 and H800 nodes",
            "H20 96GB : scaleout_gb_s 50, supposé : 400 Gb/s par puce comme sur les nœuds H100 et H800",
        ),
    ],
)
def test_what_the_planner_puts_together_is_french_too(source: str, said: str) -> None:
    assert words("fr")(source).replace("\u00a0", " ") == said
