"""Every verb and every argument of it, asked of the parser itself, so that a new one cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from centime.cli import app


@dataclass(frozen=True)
class Argument:
    """One argument or option of a verb that takes a value."""

    verb: str  # "plan train"
    name: str  # the parameter: "global_batch"
    flag: str  # "--global-batch", or "" for a positional argument
    many: bool

    @property
    def key(self) -> str:
        return f"{self.verb} {self.flag or self.name}"


def commands() -> Iterator[tuple[str, Any]]:
    """(verb, its command) of every verb that does something by itself."""
    yield from _leaves(typer.main.get_command(app), "centime", None)


def arguments() -> list[Argument]:
    """Every argument that takes a value, of every verb."""
    return [
        Argument(
            verb,
            parameter.name,
            next((name for name in parameter.opts if name.startswith("--")), ""),
            bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1,
        )
        for verb, command in commands()
        for parameter in command.params
        if not any(getattr(parameter, flag, False) for flag in ("is_flag", "is_bool_flag"))
    ]


def _leaves(command: Any, path: str, parent: Any) -> Iterator[tuple[str, Any]]:
    context = command.context_class(command, info_name=path.rsplit(maxsplit=1)[-1], parent=parent)
    if not hasattr(command, "list_commands"):
        yield path.removeprefix("centime "), command
        return
    for name in command.list_commands(context):
        yield from _leaves(command.get_command(context, name), f"{path} {name}", context)
