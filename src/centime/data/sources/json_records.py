"""Records out of JSON: one a line, or the elements of an array, or a single object; each with its place in words."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from centime.data.sources.source_file import LONGEST, Block
from centime.errors import UserError
from centime.units import format_bytes

Record = tuple[str, Any, int]
"""Where it stands ('a.jsonl, line 7'), the value, and the position in the file as stored."""

_BLANKS = " \t\r\n"


def line_records(name: str, blocks: Iterable[Block], bad: Callable[[UserError], None]) -> Iterator[Record]:
    """The value of every non-blank line; `bad` is told of a line that is not JSON, and raises or lets it go."""
    for number, (line, position) in enumerate(_lines(blocks), start=1):
        where = f"{name}, line {number}"
        try:
            if line is None:
                raise _too_long(where)
            if not line.strip():
                continue
            value = _parsed(where, line)
        except UserError as error:
            bad(error)
            continue
        yield where, value, position


def value_records(name: str, blocks: Iterable[Block]) -> Iterator[Record]:
    """The elements of an array, or the objects of a file that follow one another over several lines.

    Reads a piece at a time: what is held is one element and a block. Raises UserError naming the element.
    """
    reader = _Text(name, blocks)
    array = reader.next_sign() == "["
    if array:
        reader.skip(1)
    number, between = 0, True
    while (sign := reader.next_sign()) and not (array and sign == "]"):
        if array and sign == "," and not between:
            reader.skip(1)
            between = True
            continue
        number += 1
        where = f"{name}, element {number}" if array else name if number == 1 else f"{name}, object {number}"
        if not between and array:
            raise UserError(f"{where}: found {sign!r}, expected ',' or ']' after the element before. Mend the file.")
        yield where, reader.value(where), reader.position
        between = False
    if array and not sign:
        raise UserError(f"{name}: its JSON array does not end; the file may be cut short. Fetch it again.")
    if array:
        reader.skip(1)
        if reader.next_sign():
            raise UserError(f"{name}: something follows the end of its JSON array. Mend the file.")


class _Text:
    """The text of some blocks, read as far as the parser needs it."""

    def __init__(self, name: str, blocks: Iterable[Block]) -> None:
        self.position = 0
        self._name = name
        self._blocks = iter(blocks)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._held, self._at = "", 0
        self._whole = False

    def _more(self, least: int) -> bool:
        """Reads on until `least` more characters are held, or the end; whether there were any."""
        parts, got = [self._held[self._at :]], 0
        while got < least and not self._whole:
            block, self.position = next(self._blocks, (b"", self.position))
            self._whole = not block
            try:
                part = self._decoder.decode(block, final=self._whole)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{self._name} is not UTF-8 ({error.reason}); JSON is UTF-8: convert the file."
                ) from error
            parts.append(part)
            got += len(part)
        self._held, self._at = "".join(parts), 0
        return got > 0

    def next_sign(self) -> str:
        """The next character that is no blank; '' at the end."""
        while True:
            while self._at < len(self._held):
                if (sign := self._held[self._at]) not in _BLANKS:
                    return sign
                self._at += 1
            if not self._more(1):
                return ""

    def skip(self, signs: int) -> None:
        self._at += signs

    def value(self, where: str) -> Any:
        """The value that begins here. What is held doubles until it is whole, so that the time stays linear."""
        while True:
            try:
                value, self._at = _PATIENT.raw_decode(self._held, self._at)
                return value
            except RecursionError as error:
                raise _too_deep(where) from error
            except _Twice as error:
                raise _not_json(where, error) from error
            except ValueError as error:
                held = len(self._held) - self._at
                if held <= LONGEST:
                    if self._more(max(1, min(held, LONGEST - held + 1))):
                        continue
                    raise _not_json(where, error) from error
                raise UserError(
                    f"{where} is not JSON, or longer than {format_bytes(LONGEST)} ({error}). Mend it, or cut it into "
                    "several."
                ) from error


def _lines(blocks: Iterable[Block]) -> Iterator[tuple[bytes | None, int]]:
    """(line, position); None for a line longer than LONGEST, of which nothing is kept."""
    parts: list[bytes] = []
    held = position = 0
    for block, position in blocks:
        head, *rest = block.split(b"\n")
        held += len(head)
        if held <= LONGEST:
            parts.append(head)
        else:
            parts = []
        if rest:
            yield (b"".join(parts) if held <= LONGEST else None), position
            last = rest.pop()
            for line in rest:
                yield line, position
            parts, held = [last], len(last)
    if held:
        yield (b"".join(parts) if held <= LONGEST else None), position


class _Twice(ValueError):
    """A key of the text stands twice in one object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a key that stands twice with two values, one would be lost silently."""
    made = dict(pairs)
    if len(made) != len(pairs):
        for key, value in pairs:
            if made[key] != value:
                raise _Twice(f"the key {key!r} stands twice in one object, with two values")
    return made


def _integer(digits: str) -> int | float:
    """Python refuses to read integers of thousands of digits, as JSON may hold; they are no text of ours."""
    return int(digits) if len(digits) < 4000 else math.copysign(math.inf, -1 if digits.startswith("-") else 1)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_PATIENT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def _parsed(where: str, line: bytes) -> Any:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is not UTF-8 ({error.reason} at byte {error.start} of the line); "
            "JSON lines are UTF-8: convert the file."
        ) from error
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError | _Twice):
            raise _not_json(where, error) from error
        return _PATIENT.decode(text)  # an integer that is too long for Python


def _not_json(where: str, error: ValueError) -> UserError:
    if isinstance(error, _Twice):
        return UserError(f"{where}: {error}. Mend it.")
    return UserError(
        f"{where} is not JSON ({error}); expected one JSON object a line, or an array of them. Mend it; "
        "if it is the last, the file may be cut short: fetch it again."
    )


def _too_deep(where: str) -> UserError:
    return UserError(f"{where} is nested too deeply to be read; expected an object with a text. Mend it.")


def _too_long(where: str) -> UserError:
    return UserError(
        f"{where} is longer than {format_bytes(LONGEST)}, the most that a line may have. Cut it into several "
        "documents, or give it as a text file, which is cut at line ends."
    )
