"""Rewards that need nothing but the text: is it exact, is it the number, has it the form, is it in one script.

Each takes the answer as the model wrote it and what is right, and returns 0 to 1. Rules, not models: R1-Zero's, arXiv
2501.12948v2, section 2.2, which a learned reward would have had hacked.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal, InvalidOperation

from centime.tune.problems.rows import boxed

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
MOST_DIGITS = 1000  # of a number that is compared: a model may write them without end


def stated(text: str) -> str | None:
    """What an answer says the result is: in its last <answer> or \\boxed{}, after its last '####' or '=', else None."""
    if found := _ANSWER.findall(text):
        return str(found[-1]).strip()
    if (inside := boxed(text)) is not None:
        return inside
    for mark in ("####", "="):
        if mark in text:
            return text.rpartition(mark)[2].strip()
    return None


def exact(text: str, right: str) -> float:
    """1 where what is stated (all of it, where it states nothing apart) is the right text, blanks trimmed."""
    said = stated(text)
    return float((text.strip() if said is None else said) == right.strip())


def number(text: str, right: str) -> float:
    """1 where the number stated, or else the last one in the text, equals the right one: 1,000 is 1000.0."""
    said = stated(text)
    found = _NUMBER.findall(text if said is None else said)
    wanted = _NUMBER.findall(right)
    if not found or not wanted:
        return 0.0
    a, b = _decimal(found[-1]), _decimal(wanted[-1])
    return float(a is not None and a == b)


def has_form(text: str) -> float:
    """1 where the answer states its result apart from its working, once, and has nothing after it."""
    said = stated(text)
    if not said:
        return 0.0
    return float(len(_ANSWER.findall(text)) <= 1 and "\n" not in said)


def one_script(text: str, prompt: str) -> float:
    """Share of the letters that are of the script most letters of the prompt are of (R1, section 3.2: share of words of
    the target language in the working); 1 where either has no letter."""
    wanted, found = (Counter(map(_script, filter(str.isalpha, one))) for one in (prompt, text))
    if not wanted or not found:
        return 1.0
    return found[wanted.most_common(1)[0][0]] / found.total()


def _script(letter: str) -> str:
    """The first word of its Unicode name: LATIN, CJK, CYRILLIC."""
    return unicodedata.name(letter, "?").partition(" ")[0]


def _decimal(text: str) -> Decimal | None:
    if len(text) > MOST_DIGITS:
        return None
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None


BUILT_IN = {"exact": exact, "number": number}
