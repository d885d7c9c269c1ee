"""Token ids to text as they come: whole characters only, and nothing past a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from centime.errors import UserError

_BROKEN = "\ufffd"  # what a decoder writes for bytes that are not (yet) a whole UTF-8 character
# A character has at most four bytes, so that what comes can change the last three of these signs at most: decoders
# write one for each byte, or one for up to three that begin a character. Three of three bytes are at most nine tokens.
_OPEN, _KEPT = 3, 12


class Detokenizer:
    """Decodes a growing list of token ids into pieces of text that concatenate to the decoding of the whole list.

    A byte-level token may end inside a UTF-8 character; the bytes are then held until the character is whole (or until
    `finish`). `stop` strings end the text before the one that is complete first, wherever token boundaries fall; text
    that could be the beginning of one is held too. A token takes the same time however many came before it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        if any(not s for s in stop):
            raise UserError("a stop string is empty; give at least one character, or leave --stop out.")
        self.decode = decode
        self.stop = tuple(stop)
        self._beginnings = [_Beginning(s) for s in self.stop]
        self.stopped = False  # a stop string has appeared
        self.found: str | None = None  # that string
        self._ids: list[int] = []  # the last tokens
        self._text = ""  # their decoding
        self._given = 0  # characters of it that were given out
        self._held = ""  # decoded, not yet given out: a possible beginning of a stop string

    def push(self, token: int) -> str:
        """Adds one token; the text that is now certain (often one token's, sometimes nothing)."""
        text = self.decode([*self._ids, token])
        if text == self._text and not self.decode([token]):  # a token without bytes is none to keep
            return self._give("", last=False)
        self._ids.append(token)
        self._text = text
        open_ = min(_OPEN, len(text) - len(text.rstrip(_BROKEN)))  # signs that may be unfinished characters
        piece = text[self._given : len(text) - open_]
        self._given = max(self._given, len(text) - open_)
        if not open_ or len(self._ids) >= 2 * _KEPT:
            self._ids = self._ids[-_KEPT if open_ else -1 :]
            self._text = self.decode(self._ids)
            self._given = len(self._text) - open_
        return self._give(piece, last=False)

    def finish(self) -> str:
        """The rest of the text, unfinished characters as U+FFFD; call once, after the last token."""
        piece, self._given = self._text[self._given :], len(self._text)
        return self._give(piece, last=True)

    def _give(self, piece: str, last: bool) -> str:
        if self.stopped:
            return ""
        text, self._held = self._held + piece, ""
        found = [(at + len(s), at, s) for s in self.stop if (at := text.find(s)) >= 0]
        if found:
            _, at, self.found = min(found)
            self.stopped = True
            return text[:at]
        if last:
            return text
        held = max((beginning.read(piece) for beginning in self._beginnings), default=0)
        if held:
            text, self._held = text[:-held], text[-held:]
        return text


class Unread:
    """In a detokenizer's place where nobody reads the text: tokens have none."""

    stopped = False
    found: str | None = None

    def push(self, token: int) -> str:
        return ""

    def finish(self) -> str:
        return ""


class _Beginning:
    """How much of a word stands at the end of a text that grows: Knuth, Morris and Pratt's automaton.

    A character takes the same time, in the mean, however long the word and whatever came before it; trying each length
    would take a word of 1,024 characters a thousand comparisons after every token, while everybody else waits.
    """

    def __init__(self, word: str) -> None:
        self._word, self._shorter, self._length = word, _shorter(word), 0

    def read(self, piece: str) -> int:
        """The length of the longest beginning of the word that the text ends with. The word itself is not in it."""
        if len(piece) > len(self._word):
            piece, self._length = piece[-len(self._word) :], 0
        for sign in piece:
            self._length = _after(self._word, self._shorter, self._length, sign)
        return self._length


@lru_cache(maxsize=64)  # the choices of a call have their stop strings in common
def _shorter(word: str) -> list[int]:
    """By the length of each beginning of a word: that of the longest other one that it ends with."""
    found = [0, 0]
    for at in range(1, len(word)):
        found.append(_after(word, found, found[at], word[at]))
    return found


def _after(word: str, shorter: Sequence[int], length: int, sign: str) -> int:
    """The length of the beginning that stands at the end when `sign` follows one of `length`."""
    while length and word[length] != sign:
        length = shorter[length]
    return length + (word[length] == sign)
