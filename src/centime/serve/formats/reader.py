"""Text that arrives in pieces, read as if it were whole: a marker may be split anywhere between two pieces."""

from __future__ import annotations

from collections.abc import Generator, Sequence


class TextReader:
    """The text that came and is not read yet.

    Its methods are generators: they yield None where they need more text, and whoever drives them (parser.py) adds
    to `text` or sets `ended` before resuming. What they give away is certain, so that it never depends on how the
    text was cut into pieces. Where the text did not end by itself (`cut`), what its end has of a marker is dropped:
    nobody who reads an answer wants "<｜tool▁ca". One character alone stays, for "<" may be meant.
    """

    def __init__(self) -> None:
        self.text = ""
        self.ended = False  # no more text will come
        self.cut = False  # it ended in the middle: at a limit, a stop string, or because the client left

    def pieces(self, *markers: str, loose: str = "") -> Generator[str | None, None, str | None]:
        """Yields the text before the first of `markers` as soon as it is certain; returns the marker, None at the end.

        `loose` characters that stand directly before a marker belong to it and are dropped with it.
        """
        while True:
            places = [(at, marker) for marker in markers if (at := self.text.find(marker)) >= 0]
            if places:
                at, marker = min(places)
                before, self.text = self.text[:at].rstrip(loose), self.text[at + len(marker) :]
                if before:
                    yield before
                return marker
            if self.ended:
                rest, self.text = self._without_beginnings(markers, loose), ""
                if rest:
                    yield rest
                return None
            held = max((overlap(self.text, marker) for marker in markers), default=0)
            certain = self.text[: len(self.text) - held]
            certain = certain.rstrip(loose) if markers else certain
            self.text = self.text[len(certain) :]
            if certain:
                yield certain
            yield None

    def _without_beginnings(self, markers: Sequence[str], loose: str) -> str:
        """The text that is left at the end."""
        rest = self.text
        if self.cut and markers:
            rest = rest.rstrip(loose)
            while (held := max(overlap(rest, marker) for marker in markers)) > 1:
                rest = rest[:-held].rstrip(loose)
        return rest

    def upto(self, *markers: str) -> Generator[None, None, tuple[str, str | None]]:
        """The whole text before the first of `markers`, and the marker; (the rest, None) at the end."""
        parts: list[str] = []
        reading = self.pieces(*markers)
        while True:
            try:
                piece = next(reading)
            except StopIteration as done:
                return "".join(parts), done.value
            if piece is None:
                yield None
            else:
                parts.append(piece)

    def skip(self, characters: str) -> Generator[None, None, None]:
        """Drops the `characters` that come next."""
        while True:
            self.text = self.text.lstrip(characters)
            if self.text or self.ended:
                return
            yield None

    def starts(self, word: str) -> Generator[None, None, bool]:
        """Whether `word` comes next; it is read if so."""
        while len(self.text) < len(word) and word.startswith(self.text) and not self.ended:
            yield None
        if self.text.startswith(word):
            self.text = self.text[len(word) :]
            return True
        if self.cut and len(self.text) > 1 and word.startswith(self.text):
            self.text = ""
        return False


def overlap(text: str, marker: str) -> int:
    """The length of the longest end of `text` that is a beginning of `marker`, and not the whole of it."""
    return next((n for n in range(min(len(text), len(marker) - 1), 0, -1) if text.endswith(marker[:n])), 0)
