"""What to take out of files, and the tally of what was left out on the way."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from centime.errors import UserError, nearest

Undecodable = Literal["strict", "replace", "skip"]

_PLURAL = re.compile(r"\b(file|folder|line|link|device|socket|pipe|FIFO)s\b")  # what reasons count
BAD_LINES = "malformed lines"
SHOWN = 5
"""Malformed lines that are told word for word."""


@dataclass(frozen=True)
class ReadOptions:
    """How to take documents out of files."""

    field: str = "text"
    """The key of a JSON line, or the column of a parquet file, that holds the text."""
    separator: str | None = None
    """What stands between documents within one text file, such as '<|endoftext|>'; None: a file is a document."""
    undecodable: Undecodable = "strict"
    """Text that is not UTF-8: stop with an error, put U+FFFD for the bad bytes, or leave the document out."""
    skip_bad_lines: int = 0
    """Malformed JSON lines that are left out, over all files, before one is an error."""


def read_options(
    field: str = "text", separator: str | None = None, undecodable: str = "strict", skip_bad_lines: int = 0
) -> ReadOptions:
    """ReadOptions from what a person typed: '\\n' and '\\t' in a separator mean those characters.

    Raises UserError on an unknown way with undecodable text, a negative count, or words that are not UTF-8.
    """
    ways = get_args(Undecodable)
    if undecodable not in ways:
        raise UserError(f"--undecodable {undecodable!r}: expected {', '.join(ways)}.{nearest(undecodable, ways)}")
    if skip_bad_lines < 0:
        raise UserError(f"--skip-bad-lines {skip_bad_lines}: expected a number of lines, at least 0.")
    for name, word in (("field", field), ("separator", separator)):
        if word == "":
            raise UserError(f"--{name} is an empty text; give at least one character, or leave it out.")
        try:
            (word or "").encode()
        except UnicodeEncodeError as error:
            raise UserError(f"--{name} {word!r} is not UTF-8 text. Write it in UTF-8.") from error
    if separator is not None:
        separator = separator.replace("\\n", "\n").replace("\\t", "\t")
    return ReadOptions(field, separator, cast(Undecodable, undecodable), skip_bad_lines)


def tally(counts: Mapping[str, int]) -> str:
    """'2 links to folders, 1 unreadable file' of {'links to folders': 2, 'unreadable files': 1}."""
    return ", ".join(f"{count:,} {why if count != 1 else _singular(why)}" for why, count in sorted(counts.items()))


def _singular(why: str) -> str:
    return _PLURAL.sub(r"\1", why, count=1).replace(" that lead ", " that leads ")


class LeftOut:
    """Counts documents left out, by reason, and malformed lines, of which only so many are allowed."""

    def __init__(self, bad_lines: int = 0) -> None:
        self.allowed = bad_lines
        self.reasons: Counter[str] = Counter()
        self.as_text = 0
        """.json files met in a folder that hold no documents of their own, and were read as text."""
        self._first: list[str] = []

    def document(self, why: str) -> None:
        """A document was left out."""
        self.reasons[why] += 1

    def line(self, error: UserError) -> None:
        """A malformed line was met. Raises `error`, which names it, when no more of them may be left out."""
        if self.reasons[BAD_LINES] >= self.allowed:
            more = f" {self.allowed:,} were left out before it (--skip-bad-lines)." if self.allowed else ""
            raise UserError(f"{error}{more}") from error
        self.reasons[BAD_LINES] += 1
        if len(self._first) < SHOWN:
            # it will be printed and written in index.json, and names of files may be no UTF-8
            self._first.append(str(error).encode("utf-8", "backslashreplace").decode())

    def notes(self, field: str) -> list[str]:
        """What a person is told at the end, beside the counts: the first malformed lines, and what was read as text."""
        notes = [f"Left out: {line}" for line in self._first]
        if self.as_text:
            files = "1 .json file" if self.as_text == 1 else f"{self.as_text:,} .json files"
            notes.append(f"{files} met in folders: without documents under {field!r} (--field), read as plain text.")
        return notes


class UndecodableDocument(Exception):
    """A document that is not UTF-8, to be left out."""


def text_of(value: str | bytes, where: str, options: ReadOptions, start: int = 0) -> str:
    """The text, without a byte order mark, as UTF-8 can hold it (JSON can spell lone surrogates).

    start: the offset of `value` in its file. Raises UserError naming `where`, or Unreadable, as the options say.
    """
    text = _decoded(value, where, options, start) if isinstance(value, bytes) else _paired(value, where, options)
    return text.removeprefix("\ufeff")


def _decoded(raw: bytes, where: str, options: ReadOptions, start: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if options.undecodable == "replace":
            return codecs.decode(raw, "utf-8", "replace")
        if options.undecodable == "skip":
            raise UndecodableDocument from error
        raise _undecodable(where, f"byte 0x{raw[error.start]:02x} at offset {start + error.start}") from error


def _paired(text: str, where: str, options: ReadOptions) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        if options.undecodable == "replace":
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if options.undecodable == "skip":
            raise UndecodableDocument from error
        raise _undecodable(where, f"a lone surrogate at character {error.start}") from error
    return text


def _undecodable(where: str, what: str) -> UserError:
    return UserError(
        f"{where} is not UTF-8 text ({what}); expected UTF-8. Convert it (from Latin-1: `iconv -f LATIN1 -t UTF-8 OLD "
        "> NEW`), or add --undecodable skip (leave such documents out) or --undecodable replace (U+FFFD for the bad "
        "bytes)."
    )
