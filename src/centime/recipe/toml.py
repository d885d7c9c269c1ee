"""Recipes as TOML: reading, `a.b=value` overrides, writing with comments."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from centime.errors import UserError
from centime.input_files import parse_toml

NONE = "none"  # TOML has no null: this word stands for it
MAX_DEPTH = 50  # tables and lists in one another; a recipe has three


def load(text: str, where: str) -> dict[str, Any]:
    """The tree of a TOML text, "none" read as None. Raises UserError with the line of a syntax error."""
    try:
        cleaned: dict[str, Any] = _nulls(parse_toml(text, where))
    except RecursionError:
        raise UserError(
            f"{where} is nested too deeply, more than {MAX_DEPTH} tables and lists in one another."
        ) from None
    return cleaned


def _nulls(node: Any, depth: int = 0) -> Any:
    """The tree with None for "none". Raises RecursionError where it is nested deeper than any recipe."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(node, dict):
        return {key: _nulls(value, depth + 1) for key, value in node.items()}
    if isinstance(node, list):
        return [_nulls(value, depth + 1) for value in node]
    return None if node == NONE else node


def override(tree: dict[str, Any], text: str) -> None:
    """Sets 'a.b=value' in place; the value is TOML, or a bare word taken as a string. List items go by number."""
    key, found, value = text.partition("=")
    path = key.strip().split(".")
    if not found or not all(path):
        raise UserError(f"--set {text!r} is not of the form section.key=value, such as train.lr=3e-4.")
    if len(path) > MAX_DEPTH:
        raise UserError(f"--set {text[:40]!r}...: a key of {len(path):,} parts is none of a recipe.")
    try:
        parsed = _nulls(tomllib.loads(f"x = {value.strip()}")["x"])
    except ValueError:  # no TOML: a word
        parsed = _nulls(value.strip())
    except RecursionError:
        raise UserError(f"--set {key.strip()}: the value is nested too deeply.") from None
    node: Any = tree
    for i, part in enumerate(path[:-1]):
        if isinstance(node, list):
            node = _item(node, part, text)
        elif part not in node and _is_number(path[i + 1]):
            raise UserError(f"--set {text!r}: the recipe has no [[{'.'.join(path[: i + 1])}]] yet, so none to number.")
        else:
            node = node.setdefault(part, {})
        if isinstance(node, list) and len(node) == 1 and not _is_number(path[i + 1]):
            node = node[0]  # one [[context]] needs no number
        if not isinstance(node, dict | list):
            raise UserError(f"--set {text!r}: {'.'.join(path[: i + 1])} is a value, not a section.")
    if isinstance(node, list):
        _item(node, path[-1], text)
        node[int(path[-1])] = parsed
    else:
        node[path[-1]] = parsed


def _item(items: list[Any], index: str, text: str) -> Any:
    if not _is_number(index) or int(index) >= len(items):
        raise UserError(f"--set {text!r}: {index!r} is not one of the {len(items)} items there; count from 0.")
    return items[int(index)]


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def dump(model: BaseModel) -> str:
    """Every key of the tree, each with its description as a comment, tables after plain values."""
    lines: list[str] = []
    _table(model, "", lines)
    return "\n".join(lines).strip() + "\n"


def _table(model: BaseModel, prefix: str, lines: list[str]) -> None:
    tables = []
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        if isinstance(value, BaseModel) or _is_tables(value):
            tables.append((key, value, field.description))
            continue
        text = f"{key} = {_value(value)}"
        lines.append(f"{text:<40} # {field.description}" if field.description else text)
    for key, value, description in tables:
        comment = f"  # {description}" if description else ""
        for item in value if isinstance(value, list) else [value]:
            bracket = f"[[{prefix}{key}]]" if isinstance(value, list) else f"[{prefix}{key}]"
            lines += ["", f"{bracket}{comment}"]
            _table(item, f"{prefix}{key}.", lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], BaseModel)


def _value(value: Any) -> str:
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return repr(value)
