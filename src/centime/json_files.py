"""JSON from files that somebody else may have written, edited or cut short: a value that is whole, or a sentence.

Every room reads such files through here, so that all refuse the same things in the same words:

    settings = read_object(path)                         # a file that holds one object
    anything = read_json(path)                           # or any value
    record = parse_json(line, f"{path}, line {number}")  # a line of JSON lines
    kept = [*whole_lines(path)]                          # all of them that are whole, of a file that grows

What comes out can be written again and walked by recursion: text in UTF-8 (a byte order mark is passed over), numbers
that are finite, nesting of at most MAX_DEPTH, and no name given twice in one object with two values. All raise
UserError; a caller that can do without the file catches it.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from centime.errors import UserError

MAX_DEPTH = 100  # objects and lists in one another; a tokenizer.json has under ten
MAX_BYTES = 2**28  # of one file: the largest kind, tokenizer.json, has some 30 MB for 260,000 tokens
COPY = "copy it again from where it came"

# An escape in a string: a pair of surrogates, half of one alone, or any other, which is passed over as one.
ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.S
)
# A name and its colon, a text, or what opens or closes an object or a list.
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*+:|"(?:[^"\\]|\\.)*+"|[\[{\]}]', re.S)
_WIDE = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def read_object(path: Path, mend: str = COPY, infinite: bool = False) -> dict[str, Any]:
    """The object that a JSON file holds. `mend` ends the sentence of a UserError: what to do about the file.

    infinite: whether Infinity and NaN may stand in it, as transformers writes bounds that bind nothing.
    """
    value = parse_json(read_text(path, mend), str(path), mend, infinite)
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {kind(value)}; expected a JSON object ({{...}}): {mend}.")
    return value


def read_json(path: Path, mend: str = COPY) -> Any:
    """The value that a JSON file holds."""
    return parse_json(read_text(path, mend), str(path), mend)


def read_text(path: Path, mend: str = COPY) -> str:
    """The text of a small file in UTF-8, without its byte order mark. Raises UserError, also where it is no file."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{path} is {_no_file(found.st_mode)}; expected a file.")
        if found.st_size > MAX_BYTES:
            raise UserError(
                f"{path} has {found.st_size:,} bytes, more than the {MAX_BYTES:,} that it may have: {mend}."
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is not there: {mend}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None
    return _decoded(content, str(path), mend)


def parse_json(text: str | bytes, where: str, mend: str = COPY, infinite: bool = False) -> Any:
    """The value that one JSON text stands for. `where` names it in a UserError: a file, or a file and a line."""
    if isinstance(text, bytes):
        text = _decoded(text, where, mend)

    def refuse(what: str) -> NoReturn:
        raise UserError(f"{where} {what}: {mend}.")

    odd: list[str] = []  # numbers that are none of JSON's, or that nothing can hold, as written

    def finite(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            odd.append(digits)
        return number

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            for name, value in pairs:
                if found[name] != value:
                    refuse(f"gives {name!r} twice with two values, {brief(value)} and {brief(found[name])}")
        return found

    try:
        try:
            value = json.loads(text, object_pairs_hook=once, parse_float=finite, parse_constant=finite)
        except json.JSONDecodeError:
            raise
        except ValueError:  # of int(), which reads no more than 4,300 digits
            value = json.loads(text, object_pairs_hook=once, parse_int=finite, parse_constant=finite)
    except json.JSONDecodeError as error:
        if not text.strip("\0 \t\r\n"):
            refuse("is empty" if "\0" not in text else "holds nothing but zero bytes, as after a crash")
        at = f"line {error.lineno}, column {error.colno}"
        refuse(f"cannot be read as JSON ({error.msg}, at {at})")
    except RecursionError:
        refuse(_too_deep(text))
    if deeper_than(value, MAX_DEPTH):
        refuse(_too_deep(text))
    if odd and not infinite:
        first = next(_places(value, lambda part: isinstance(part, float) and not math.isfinite(part)), "")
        what = f"{odd[0]}, which is no number of JSON" if odd[0][-1].isalpha() else "a number that is too large"
        refuse(f"holds {what}{first and f', in {first}'}")
    if ("\\ud" in text or "\\uD" in text) and any(match[1] for match in ESCAPE.finditer(text)):
        first = next(_places(value, lambda part: isinstance(part, str) and not _whole(part)), "")
        refuse(f"holds half of a character (a lone surrogate){first and f', in {first}'}")
    return value


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; a line cut short by a kill, or damaged, is left out. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def kind(value: Any) -> str:
    """What a JSON value is, for a sentence: 'a list', 'a number'."""
    return _KINDS.get(type(value), "a number")


def brief(value: Any) -> str:
    """A JSON value as it stands in its file, cut at some 60 characters, for a sentence."""
    if isinstance(value, (dict, list)) and len(value) > 8:
        return f"{kind(value)} of {len(value):,}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _places(value: Any, wanted: Callable[[Any], bool], path: str = "") -> Iterator[str]:
    """Where in a value the parts are that are `wanted`, as a.b.0: names and positions. Names themselves count."""
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            here = f"{path}.{name}" if path else str(name)
            if isinstance(value, dict) and wanted(name):
                yield path or "a name"
            yield from _places(part, wanted, here)
    elif wanted(value):
        yield path


def _whole(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _decoded(content: bytes, where: str, mend: str) -> str:
    for mark, name in _WIDE.items():
        if content.startswith(mark):
            raise UserError(f"{where} is in {name}; expected UTF-8: save it as that.")
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not in UTF-8 (byte {error.start:,} belongs to no character): {mend}.") from None


def _no_file(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"


def _too_deep(text: str) -> str:
    """What is wrong with a text that is nested too deeply, with the name before the place where it becomes so."""
    depth, name = 0, ""
    for token in _TOKEN.finditer(text):
        if token[1] is not None:
            name = token[1]
        elif token[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                break
        elif token[0] in "]}":
            depth -= 1
    where = f", in {name[:60]}" if name else ""
    return f"is nested too deeply, more than {MAX_DEPTH} objects and lists in one another{where}"


def deeper_than(value: Any, depth: int) -> bool:
    """Whether a JSON value has more than `depth` objects and lists in one another, found without recursion."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
