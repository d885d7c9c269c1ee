"""The one reading of JSON that came over a network: bytes become a value, or a sentence says why not.

What comes out of it can be written again: finite numbers, whole characters, no deeper than `MAX_DEPTH`. So nothing that
walks a body later, here or at an upstream, meets a value that this reader let pass and another one does not.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, NoReturn

from centime.json_files import ESCAPE, deeper_than

MAX_DEPTH = 100  # of objects and lists in one another: people's schemas have ten or twenty, and readers recurse
# Objects and lists in one body: a turn is one or two, a tool a few dozen. Python holds its lock while it reads them and
# while it looks for garbage among them, half a microsecond each; everybody else waits.
MAX_CONTAINERS = 2**17
JSON_TYPES = {dict: "object", list: "list", str: "string", int: "number", float: "number", bool: "boolean"}

# A text in JSON, which is passed over, or what opens an object or a list.
_OPENING = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]', re.S)


class UnreadableJson(ValueError):
    """Bytes that are no JSON; the message is a sentence's end: what they are instead."""


def read_json(raw: bytes | bytearray, *, finite: bool = True) -> Any:
    """The value that JSON in UTF-8 stands for. Raises Unreadable.

    A byte order mark before it, which editors leave, is passed over. Numbers are finite, but in answers that are passed
    on (finite=False), where engines write NaN for a probability. Half of a surrogate pair becomes U+FFFD, as it does
    wherever text is cut in two; of a name that comes twice in an object the last counts; lists and objects are nested
    no deeper than `MAX_DEPTH`.
    """
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableJson(f"no JSON in UTF-8: its byte {error.start} belongs to no character") from None
    if "\\ud" in text or "\\uD" in text:
        text = ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    opened = _opened(text)
    if finite and opened > MAX_CONTAINERS:
        raise UnreadableJson(
            f"no JSON that can be read: it has {opened:,} objects and lists, more than {MAX_CONTAINERS:,}"
        )
    try:
        value = json.loads(text, parse_constant=_not_a_number, parse_float=_finite) if finite else json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableJson(f"no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    except UnreadableJson:
        raise
    except ValueError:  # of int(): Python reads no longer ones
        raise UnreadableJson("no JSON that can be read: a number has more than 4,300 digits") from None
    if opened > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _opened(text: str) -> int:
    """Objects and lists that a JSON text opens, or a number between that and MAX_CONTAINERS."""
    every = text.count("[") + text.count("{")
    if every <= MAX_CONTAINERS:
        return every
    return sum(1 for found in _OPENING.finditer(text) if found[0][0] != '"')


def _not_a_number(name: str) -> NoReturn:
    raise UnreadableJson(f"no JSON: JSON has no {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise UnreadableJson(f"no JSON that can be read: the number {digits[:40]} is too large")
    return number


def _too_deep() -> UnreadableJson:
    return UnreadableJson(
        f"no JSON that can be read: nested too deeply, more than {MAX_DEPTH} objects and lists in one another"
    )
