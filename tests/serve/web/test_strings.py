"""The page's words: every one in both languages, none missing, none left over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.browser import NewPage

from centime.serve.pages.page import WEB

SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(WEB).glob("*"))}
WORDS = ("strings.js", "admin_words.js")
# Keys that are put together from what a server says: "section-" + training.
FAMILIES = ("section-", "stage-", "quantity-", "region-", "kind-", "theme-", "plan-", "note-")


@pytest.mark.slow
def test_every_key_has_both_languages_and_the_same_names_to_fill_in(new_page: NewPage, bare: str) -> None:
    strings = new_page(bare).evaluate("async () => (await import(new URL('static/strings.js', location.href))).STRINGS")
    assert len(strings) > 150
    for key, (english, french) in strings.items():
        assert english.strip(), key
        assert french.strip(), key
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", french)), key


@pytest.mark.slow
def test_every_word_that_is_used_exists_and_every_one_that_exists_is_used(new_page: NewPage, bare: str) -> None:
    known = set(
        new_page(bare).evaluate(
            "async () => Object.keys((await import(new URL('static/strings.js', location.href))).STRINGS)"
        )
    )
    code = "\n".join(text for name, text in SOURCES.items() if name not in WORDS)
    asked = set(re.findall(r'\bt\("([\w-]+)"', code)) | set(
        re.findall(r'data-t(?:-label|-placeholder)?="([\w-]+)"', code)
    )
    assert asked <= known
    written = set(re.findall(r'"([\w-]+)"', code)) | set(re.findall(r"\b(\w+): (?:\[|t\()", code))
    hints = {f"{name}-hint" for name in written}
    leftover = {key for key in known - asked - written - hints if not key.startswith(FAMILIES)}
    assert leftover == set()


def test_french_spaces_its_high_punctuation() -> None:
    french = re.findall(r'",\s*"([^"]+)",?\s*\]', "".join(SOURCES[name] for name in WORDS))
    assert len(french) > 150
    for sentence in french:
        if sentence.startswith("English: "):
            continue  # what the switch is called is in the other language
        assert not re.search(r"\w[;!?]|\w:(?!//)", sentence), sentence


def test_no_file_of_the_page_parses_text_as_markup_or_reaches_elsewhere() -> None:
    """The content policy would refuse it; the source does not try."""
    for name, text in SOURCES.items():
        for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert banned not in text, f"{name} has {banned}"
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert all(address.startswith("https?:") for address in addresses), f"{name} names {addresses}"
