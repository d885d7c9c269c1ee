"""The longest of many words is found wherever alternatives find it; texts made to be slow are as quick as any."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from centime.data.tokenizers.words import any_of

WORDS = st.lists(st.text("ab<|.*", min_size=1, max_size=5), max_size=12)


@given(WORDS, st.text("ab<|.*\n", max_size=60))
def test_it_finds_what_alternatives_find(words: list[str], text: str) -> None:
    plain = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)")
    assert any_of(words).findall(text) == plain.findall(text)


def test_a_text_of_beginnings_takes_as_long_as_few_words_need() -> None:
    many = [f"<｜place▁holder▁no▁{number}｜>" for number in range(800)] + ["<think>", "</think>"]

    def seconds(words: list[str], text: str) -> float:
        pattern, best = any_of(words), float("inf")
        for _ in range(3):
            begun = time.perf_counter()
            pattern.sub("", text)
            best = min(best, time.perf_counter() - begun)
        return best

    for text in ("<" * 100_000, "<｜" * 50_000, "<｜place▁holder▁no▁" * 5_000):
        assert seconds(many, text) < 30 * seconds(many[:1] + many[-1:], text) + 0.05
