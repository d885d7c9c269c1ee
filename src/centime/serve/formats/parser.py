"""An answer's text, as it comes, told apart into reasoning, content and tool calls."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Literal

from centime.serve.formats.reader import TextReader
from centime.serve.formats.tool_calls import BLANK, Calls, Delta, deltas

THINK, THINK_END = "<think>", "</think>"
HALF = "\ufffd"  # what stands for a character of which not all bytes came

Start = Literal["reasoning", "content", "either"]
"""What an answer begins with: "either" looks whether it opens with <think>."""


class AnswerParser:
    """Feed it pieces of text; what it returns, joined, does not depend on where the text was cut.

    Line ends next to a marker are the format's and are dropped, and so is what stands between the calls of a block. An
    answer that breaks off inside a call leaves it with the arguments so far.
    """

    def __init__(self, start: Start = "content", calls: Calls | None = None) -> None:
        self._source = TextReader()
        self._calls = calls
        self._half = ""
        self.now: Literal["reasoning", "content", "calls"] = "content" if start == "content" else "reasoning"
        self._parsing = self._parse(start)

    def feed(self, text: str) -> list[Delta]:
        """What is certain once this text has come too."""
        text = self._half + text
        whole = text.rstrip(HALF)
        self._half = text[len(whole) :]
        self._source.text += whole
        return self._drive()

    def finish(self, *, cut: bool = False) -> list[Delta]:
        """What is left, the text being over; cut: in the middle, perhaps of a marker or of a character."""
        if not cut:
            self._source.text += self._half
        self._source.ended, self._source.cut = True, cut
        return self._drive()

    def _drive(self) -> list[Delta]:
        given: list[Delta] = []
        for delta in self._parsing:
            if delta is None:
                break
            if delta.text:
                given.append(delta)
        return given

    def _parse(self, start: Start) -> Generator[Delta | None, None, None]:
        source = self._source
        if start == "either":
            yield from source.skip(BLANK)
            start = "reasoning" if (yield from source.starts(THINK)) else "content"
        if start == "reasoning":
            yield from source.skip("\n")
            yield from deltas(source.pieces(THINK_END, loose="\n"), "reasoning")
            yield from source.skip("\n")
        numbers = itertools.count()
        while True:
            self.now = "content"
            opens = (self._calls.opens,) if self._calls else ()
            marker = yield from deltas(source.pieces(*opens, loose="\n"), "content")
            if marker is None or self._calls is None:
                return
            self.now = "calls"
            yield from self._calls.read(source, numbers)
            yield from source.skip("\n")
