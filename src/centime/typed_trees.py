"""Trees of values that a person wrote, such as a TOML file, held against pydantic's models: faults as sentences."""

from __future__ import annotations

import datetime
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from centime.errors import nearest


def explain(
    error: ValidationError,
    root: type[BaseModel],
    what: str,
    *,
    also: Mapping[str, set[str]] | None = None,
    instead: Mapping[str, str] | None = None,
) -> str:
    """A sentence for each fault: the key, what was found, what is expected, the nearest valid name.

    what: the tree in words, 'a recipe'. also: keys that a section takes beside its model's, by its path. instead: what
    to say of an unknown key (in lower case) in place of its nearest name.
    """
    return " ".join(_sentence(issue, root, what, also or {}, instead or {}) for issue in error.errors())


def _sentence(
    issue: Any, root: type[BaseModel], what: str, also: Mapping[str, set[str]], instead: Mapping[str, str]
) -> str:
    path = [str(part) for part in issue["loc"]]
    name = ".".join(path)
    message = issue["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if not path:
        return f"{message}."
    section = _section(root, path[:-1])
    if issue["type"] == "extra_forbidden":
        names = set(section.model_fields) | also.get(".".join(path[:-1]), set())
        hint = nearest(path[-1], names) or f" Known here: {', '.join(sorted(names))}."
        return f"{name} is not a key of {what}.{next((instead[p.lower()] for p in path if p.lower() in instead), hint)}"
    field = section.model_fields.get(path[-1])
    meaning = f" ({field.description})" if field is not None and field.description else ""
    if issue["type"] == "missing":
        return f"{name} is missing{meaning}."
    found = "" if isinstance(issue["input"], dict | BaseModel) else f" is {as_written(issue['input'])}, which"
    return f"{name}{found} does not fit: {message}{meaning}."


def as_written(value: Any) -> str:
    """A value that a file held, as its writer knows it: true, 'a text', [1, 2], 2027-01-01; cut to what a sentence can
    hold."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, dict):
        return "a table"
    text = f"[{', '.join(map(as_written, value))}]" if isinstance(value, list) else repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text):,} characters)"


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
