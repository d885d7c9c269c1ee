"""A regular expression that finds the longest of many words, in time that does not grow with how many there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any


def any_of(words: Collection[str]) -> re.Pattern[str]:
    """Finds the longest word at each place; none, where there are no words.

    Python tries the alternatives `a|b|c` one after the other at every place: with DeepSeek-V3's 818 control tokens, a
    text of a million '<' takes eleven seconds, in which no other thread runs. Here words share their beginnings.
    """
    tree: dict[str, Any] = {}
    for word in words:
        at = tree
        for sign in word:
            at = at.setdefault(sign, {})
        at[""] = {}  # a word ends here
    return re.compile("".join(_expression(tree)) if tree else r"(?!)", re.DOTALL)


def _expression(tree: dict[str, Any]) -> Iterator[str]:
    """The expression of the words in a tree of signs; greedy, so that a longer word is preferred."""
    signs = [sign for sign in tree if sign]
    if not signs:
        return
    yield "(?:"
    for number, sign in enumerate(signs):
        yield "|" if number else ""
        yield re.escape(sign)
        yield from _expression(tree[sign])
    yield ")?" if "" in tree else ")"
