"""A request out of the inputs of a card: every value of its field's type before anything is computed with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from centime.errors import UserError, nearest

Made = TypeVar("Made")


def typed(of: type[Made], values: Any, where: str) -> Made:
    """A value of the type from JSON: lists become tuples, objects the dataclasses that they stand for.

    where: what the values are, such as "inputs of compare". Raises UserError naming the first key that is unknown,
    missing or of another type, what it holds and what was expected; `of` itself may raise more.
    """
    if dataclasses.is_dataclass(of) and isinstance(values, Mapping):
        fields = {field.name for field in dataclasses.fields(of)}
        for key in values:
            if key not in fields:
                raise UserError(f"{where}: {key!r} is unknown.{nearest(key, fields)}")
    try:
        return TypeAdapter(of).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        issue = error.errors(include_url=False)[0]
        key = ".".join(map(str, issue["loc"])) or "the whole"
        found = "" if issue["type"] == "missing" else f" is {json.dumps(issue['input'])[:60]}"
        raise UserError(f"{where}: {key}{found}; {issue['msg'][:1].lower()}{issue['msg'][1:]}.") from None
