"""Token ids to text as they come: whole characters only, and nothing past a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from centime.errors import UserError

_BROKEN = "\ufffd"  # what a decoder writes for bytes that are not (yet) a whole UTF-8 character


class TextStream:
    """Decodes a growing list of token ids into pieces of text that concatenate to the decoding of the whole list.

    A byte-level token may end inside a UTF-8 character; the bytes are then held until the character is whole (or until
    `finish`). `stop` strings end the text before their first appearance, wherever token boundaries fall; text that
    could be the beginning of one is held too.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        if any(not s for s in stop):
            raise UserError("a stop string is empty; give at least one character, or leave --stop out.")
        self.decode = decode
        self.stop = tuple(stop)
        self.stopped = False  # a stop string has appeared
        self.found: str | None = None  # that string
        self._ids: list[int] = []
        self._start = 0  # ids before this one never change what comes
        self._read = 0  # ids before this one have been turned into text
        self._held = ""  # decoded, not yet given out: a possible beginning of a stop string

    def push(self, token: int) -> str:
        """Adds one token; the text that is now certain (often one token's, sometimes nothing)."""
        self._ids.append(token)
        known = self.decode(self._ids[self._start : self._read])
        text = self.decode(self._ids[self._start :])
        if text.endswith(_BROKEN):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return self._give(text[len(known) :], last=False)

    def finish(self) -> str:
        """The rest of the text, unfinished characters as U+FFFD; call once, after the last token."""
        known = self.decode(self._ids[self._start : self._read])
        text = self.decode(self._ids[self._start :])
        self._start = self._read = len(self._ids)
        return self._give(text[len(known) :], last=True)

    def _give(self, piece: str, last: bool) -> str:
        if self.stopped:
            return ""
        text, self._held = self._held + piece, ""
        found = [(at, s) for s in self.stop if (at := text.find(s)) >= 0]
        if found:
            at, self.found = min(found)
            self.stopped = True
            return text[:at]
        if last:
            return text
        held = max((_overlap(text, s) for s in self.stop), default=0)
        if held:
            text, self._held = text[:-held], text[-held:]
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
