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
    path, section = _walked(root, [str(part) for part in issue["loc"]])
    name = ".".join(path)
    message = issue["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if not path:
        return f"{message}."
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


def _walked(root: type[BaseModel], loc: list[str]) -> tuple[list[str], type[BaseModel]]:
    """(the path of keys as its writer knows it, the pydantic class that its last key is of).

    List numbers lead nowhere else, and of a union the tag, which pydantic puts into its path, chooses the class.
    """
    path: list[str] = []
    model, tagged = root, dict[str, type[BaseModel]]()
    for number, part in enumerate(loc):
        if part in tagged:
            model, tagged = tagged[part], {}
            continue
        path.append(part)
        field = model.model_fields.get(part)
        if field is not None and number + 1 < len(loc):
            found = _models(field.annotation)
            model = next(iter(found), model)
            tagged = {tag: one for one in found for tag in _tags(one)} if len(found) > 1 else {}
    return path, model


def _tags(model: type[BaseModel]) -> list[str]:
    """The texts that a class of a union is told by: its fields that allow few."""
    kinds = [field.annotation for field in model.model_fields.values()]
    return [str(tag) for kind in kinds if typing.get_origin(kind) is typing.Literal for tag in typing.get_args(kind)]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """BaseModel classes inside an annotation such as list[Context] or Sft | None."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for argument in typing.get_args(annotation) for found in _models(argument)]
