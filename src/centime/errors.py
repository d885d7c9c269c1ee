"""The one exception that reaches a person: a sentence, and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


class UserError(Exception):
    """Something the user can mend. The message says what was found, what was expected and what to do.

    The command line prints it alone, without a traceback, and exits with code 2.
    """


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.5) -> str:
    """' Did you mean X?' when one of `choices` looks like `word` (difflib's ratio, at least `cutoff`), else ''.

    Whether letters are large or small makes no difference.
    """
    spelled = {choice.casefold(): choice for choice in reversed([*choices]) if choice}
    match = difflib.get_close_matches(word.casefold(), spelled, n=1, cutoff=cutoff)
    return f" Did you mean {spelled[match[0]]!r}?" if match else ""


def nearest_name(word: str, choices: Iterable[str], spelled: Callable[[str], str], kin: Iterable[str]) -> str:
    """As `nearest`, of names: one of `choices` that holds the whole of what was written, else the nearest of `kin`.

    spelled: a name as names are compared, without case and punctuation; what is shorter than two is held by too many.
    """
    asked = spelled(word)
    held = [choice for choice in choices if len(asked) > 1 and asked in spelled(choice)]
    return nearest(word, held, 0.0) or nearest(word, kin)
