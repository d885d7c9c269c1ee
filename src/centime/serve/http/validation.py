"""What is wrong with a body that does not fit its description, in the body's own words.

pydantic tells where by its own path, which names the branches of unions and its validators beside the fields, and what
by its own types. Here the path is led back to the fields that the client wrote, and the types to JSON's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic_core.core_schema import ErrorType

from centime.serve.wording import in_words

# What our own validators call their errors, whose messages are told as they are: 400, 422 and 400 again.
FORM, VALUE, UNSUPPORTED = "form", "value", "unsupported"
_PYDANTICS = frozenset(get_args(ErrorType))

Problem = Mapping[str, Any]
"""One of pydantic's errors: type, loc, msg, input and perhaps ctx."""

_OBJECT = ("dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type")
# pydantic's type of an error -> what was expected; {braces} are filled from the error's ctx.
_EXPECTED = {
    "string_type": "a string",
    "string_unicode": "a string of whole characters",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "list_type": "a list",
    **dict.fromkeys(_OBJECT, "an object"),
    "none_required": "null",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a string like {pattern}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "recursion_loop": "less nesting",
}
# Those that say the body has another form (400), not a value out of its range (422).
_FORMS = ("missing", "extra_forbidden", "union_tag", "string_unicode", *_OBJECT)


class Misfit(NamedTuple):
    """What a client is told: a status, a sentence, the field it is about, and a code where it has one."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None


def misfit(problems: Sequence[Problem], body: Any) -> Misfit:
    """What is wrong with `body`, by pydantic's `problems` with it: the first field that does not fit."""
    branches = _branches(problems, body)
    worst = branches[0]
    name = ".".join(_spelled(part) for part in _path(worst, body))[:100] or None
    kind = str(worst["type"])
    where = name or "The body"
    if kind == "missing":
        message = f"{where} is missing."
    elif kind not in _PYDANTICS:
        message = f"{where}: {worst['msg']}."
    elif kind in ("value_error", "assertion_error"):
        message = f"{where}: {worst['ctx']['error']}."
    else:
        expected = " or ".join(dict.fromkeys(map(_expected, branches)))
        message = f"{where}: found {in_words(worst['input'])}, expected {expected}."
    form = kind in (FORM, UNSUPPORTED) or kind.startswith(_FORMS) or kind.endswith(("_type", "_parsing"))
    code = "unsupported_parameter" if kind == UNSUPPORTED else None
    return Misfit(400 if form else 422, message, name, code)


def _expected(problem: Problem) -> str:
    kind, context = str(problem["type"]), problem.get("ctx", {})
    if kind in ("literal_error", "enum"):
        choices = str(context["expected"])
        return f"one of {choices}" if " or " in choices else choices
    return _EXPECTED.get(kind, "another value").format_map({name: _number(value) for name, value in context.items()})


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else value


def _branches(problems: Sequence[Problem], body: Any) -> list[Problem]:
    """The first problem; where it is one branch's of a union, what each branch that comes as far as any says.

    The branch that reads furthest into the value is the one that was meant: of a list whose second entry is wrong for
    one branch, and whose first for another, the one.
    """
    first = problems[0]
    fields = _fields(first, body)
    if all(fields):
        return [first]
    at = fields.index(False)
    prefix = first["loc"][:at]
    firsts: dict[Any, Problem] = {}
    for problem in problems:
        if problem["loc"][:at] == prefix and len(problem["loc"]) > at:
            firsts.setdefault(problem["loc"][at], problem)

    def reach(problem: Problem) -> tuple[bool, int, int]:
        inside = _path(problem, body)[at - 1 :]
        number = inside[0] if inside and isinstance(inside[0], int) else 0
        return bool(inside), number, len(inside)

    furthest = max(map(reach, firsts.values()))
    return [problem for problem in firsts.values() if reach(problem) == furthest]


def _path(problem: Problem, body: Any) -> list[str | int]:
    """Where the problem is, in fields and places in lists that the body has, or lacks."""
    return [part for part, field in zip(problem["loc"], _fields(problem, body), strict=True) if field][1:]


def _fields(problem: Problem, body: Any) -> list[bool]:
    """Which parts of the problem's `loc` are the client's: the others are names of branches and of validators."""
    source, *parts = problem["loc"]
    if source != "body":
        return [True] * (len(parts) + 1)
    absent = problem["type"] == "missing"
    inner = parts[:-1] if absent else parts
    exact = _walk(body, inner, problem["input"])
    return [True, *(_greedy(body, inner) if exact is None else exact), *([True] if absent else [])]


def _walk(value: Any, parts: Sequence[str | int], end: Any) -> list[bool] | None:
    """Which parts lead from `value` to the very object `end`; None where none do."""
    if not parts:
        return [] if value is end else None
    if _has(value, parts[0]) and (rest := _walk(value[parts[0]], parts[1:], end)) is not None:
        return [True, *rest]
    rest = _walk(value, parts[1:], end)
    return None if rest is None else [False, *rest]


def _greedy(value: Any, parts: Sequence[str | int]) -> list[bool]:
    """The same where a validator changed the value on the way: whatever can be followed is."""
    follows = []
    for part in parts:
        follows.append(_has(value, part))
        value = value[part] if follows[-1] else value
    return follows


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _spelled(part: str | int) -> str:
    """A part of a path; a key of the client's own that is no word as a quoted text."""
    text = str(part)
    return text if text.replace("_", "").replace("-", "").isalnum() and text.isascii() else in_words(text)
