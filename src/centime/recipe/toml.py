"""Recipes as TOML: reading, `a.b=value` overrides, writing with comments, and errors as sentences."""

from __future__ import annotations

import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from centime.errors import UserError, nearest
from centime.input_files import parse_toml

# What a recipe cannot say yet, and the sentence for whoever tries.
ABSENT = {"from", "init", "weights", "checkpoint", "pretrained", "base", "lora", "lora_rank", "lora_alpha", "dpo"}
FROM_NOTHING = " A run starts from random weights: nothing is trained from existing ones yet, by LoRA and DPO neither."
NONE = "none"  # TOML has no null: this word stands for it
MAX_DEPTH = 50  # tables and lists in one another; a recipe has three


def brief(text: str) -> str:
    """A text cut to what a sentence can hold."""
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text):,} characters)"


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


def explain(
    error: ValidationError, root: type[BaseModel], where: str, known_extra: dict[str, set[str]] | None = None
) -> str:
    """A pydantic error as sentences: the key, what was found, what is expected, the nearest valid name."""
    sentences = []
    for issue in error.errors():
        path = [str(part) for part in issue["loc"]]
        name = ".".join(path) or "the recipe"
        if issue["type"] == "extra_forbidden":
            section = _section(root, path[:-1])
            names = set(section.model_fields) | (known_extra or {}).get(".".join(path[:-1]), set())
            hint = nearest(path[-1], names) or f" Known here: {', '.join(sorted(names))}."
            missing = {part.lower() for part in path} & ABSENT
            sentences.append(f"{name} is not a key of a recipe.{FROM_NOTHING if missing else hint}")
        elif issue["type"] == "missing":
            sentences.append(f"{name} is missing; it is needed{_description(root, path)}.")
        else:
            found = "" if isinstance(issue["input"], dict) else f" is {brief(repr(issue['input']))}, which"
            message = issue["msg"].removeprefix("Value error, ").removeprefix("Input ")
            sentences.append(f"{name}{found} does not fit: {message}{_description(root, path)}.")
    return f"{where}: " + " ".join(sentences)


def _section(root: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The pydantic class at a path of keys (list numbers are passed over)."""
    model = root
    for part in path:
        field = model.model_fields.get(part)
        if field is not None:
            model = next(iter(_models(field.annotation)), model)
    return model


def _models(annotation: Any) -> list[type[BaseModel]]:
    """BaseModel classes inside an annotation such as list[Context] or Sft | None."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for argument in typing.get_args(annotation) for found in _models(argument)]


def _description(root: type[BaseModel], path: list[str]) -> str:
    field = _section(root, path[:-1]).model_fields.get(path[-1]) if path else None
    return f" ({field.description})" if field is not None and field.description else ""
