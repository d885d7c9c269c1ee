"""How the content of a right file is spoilt: its bytes, or the value of one key of what it says."""

from __future__ import annotations

import csv
import io
import json
import math
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "emptied": lambda _: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    "not UTF-8": lambda content: content[: len(content) // 2] + b"\xff\xfe\xfa" + content[len(content) // 2 :],
    "NUL": lambda content: content[: len(content) // 2] + b"\0" * 8 + content[len(content) // 2 :],
    "zeros": lambda content: b"\0" * len(content),
    "nested": lambda _: b"[" * 10_000,
    "nested and closed": lambda _: b"[" * 10_000 + b"]" * 10_000,
    "other JSON": lambda _: b"[1, 2]",
    "noise": lambda _: bytes(range(256)) * 8,
}
WRONG = {
    "null": None,
    "text": "x",
    "number": -7,
    "huge": 1e300,
    "2^64": 2**64,
    "NaN": math.nan,
    "inf": math.inf,
    "list": [],
    "object": {},
    "true": True,
}
WRONG_CELLS = ("", "x", "-7", "0", "nan", "inf", "1e300", str(2**64), "=1+1")


def by_key(name: str) -> Callable[[bytes], Iterator[tuple[str, bytes]]] | None:
    """What makes (key=kind, the content with that key so) of every key of a file of this name; None for other files."""
    suffix = name.rpartition(".")[2]
    if name == "tokenizer.json":  # of a thousand tokens and more
        return None
    return {"json": _of_json, "toml": _of_toml, "csv": _of_csv}.get(suffix)


def _of_json(content: bytes) -> Iterator[tuple[str, bytes]]:
    for key, wrong in _each(json.loads(content), WRONG):
        yield key, json.dumps(wrong).encode()


def _of_toml(content: bytes) -> Iterator[tuple[str, bytes]]:
    wrongs = {name: value for name, value in WRONG.items() if value is not None and name != "2^64"}  # TOML has neither
    for key, wrong in _each(tomllib.loads(content.decode()), wrongs):
        yield key, "\n".join(f"{name} = {_toml(value)}" for name, value in wrong.items()).encode()


def _of_csv(content: bytes) -> Iterator[tuple[str, bytes]]:
    columns, row, *others = csv.reader(content.decode().splitlines())
    for i, column in enumerate(columns):
        for wrong in WRONG_CELLS:
            yield f"{column}={wrong[:6]!r}", _csv(columns, [*row[:i], wrong, *row[i + 1 :]], *others)
        yield f"no {column}", _csv(*(line[:i] + line[i + 1 :] for line in (columns, row, *others)))


def _each(tree: dict[str, Any], wrongs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key=kind, the tree with that key's value of another kind), for every key at every depth; and without the key."""
    for key, value in tree.items():
        for name, other in wrongs.items():
            if other != value:
                yield f"{key}={name}", {**tree, key: other}
        yield f"no {key}", {name: other for name, other in tree.items() if name != key}
        if isinstance(value, dict):
            for inner, changed in _each(value, wrongs):
                yield f"{key}.{inner}", {**tree, key: changed}
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for inner, changed in _each(value[0], wrongs):
                yield f"{key}.0.{inner}", {**tree, key: [changed, *value[1:]]}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value)


def _csv(*lines: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()
