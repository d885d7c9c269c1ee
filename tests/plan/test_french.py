"""Every sentence that the planner says has a French line, with the same values in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import centime.plan
from centime.plan.text import french

HERE = Path(centime.plan.__file__).parent


def sentences() -> Iterator[tuple[str, str]]:
    """(file, sentence) of every say("...") and said("...") in the source."""
    for path in sorted(HERE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.func if isinstance(node.func, ast.Call) else node.func
            if isinstance(called, ast.Name) and called.id in ("say", "said", "words"):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield path.name, first.value


def test_every_sentence_has_a_french_line() -> None:
    missing = sorted({f"{file}: {text!r}" for file, text in sentences() if text not in french()})
    assert not missing, "add to plan/french/*.toml: " + "; ".join(missing)


def test_a_translation_keeps_the_values() -> None:
    def names(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)", text))

    assert not [english for english, said in french().items() if names(english) != names(said)]
