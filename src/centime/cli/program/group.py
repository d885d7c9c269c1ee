"""The parser of the command line: verbs imported when they are asked for, helps that say all, near misses named."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from centime.cli.program.examples import EXAMPLES
from centime.cli.program.verbs import VERBS
from centime.errors import UserError, nearest

# What people type that is no verb -> where they find what they look for.
ELSEWHERE = {
    "version": "`centime --version` prints it.",
    "help": "`centime --help` lists the verbs, `centime VERB --help` what each takes.",
    **dict.fromkeys(
        ("finetune", "fine-tune", "sft", "lora", "dpo", "continue"),
        "Nothing is trained from existing weights yet: a run starts from random ones, and the [sft] of its recipe "
        "tunes what its [train] made (docs/train.md).",
    ),
}


class VerbGroup(TyperGroup):
    """A verb with sub-verbs, or `centime` itself. The parser's own types are Any here: typer takes them from click or
    from a copy inside itself, by its version."""

    path = ""  # what a person types before the sub-verb; else its context knows

    def get_params(self, ctx: Any) -> Any:
        return [_read_plainly(parameter) for parameter in super().get_params(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb's command, its examples under its help. Raises UserError with the nearest one for a name unknown."""
        path = self.path or ctx.command_path
        command = self.found(ctx, cmd_name)
        if command is None:
            raise UserError(_not_a_verb(cmd_name, path, self.list_commands(ctx)))
        for parameter in command.params:
            if _is_path(parameter) or (parameter.param_type_name == "argument" and parameter.required):
                _refuse_empty(parameter)
        examples = EXAMPLES.get(f"{path} {cmd_name}".removeprefix("centime "))
        if examples:
            command.epilog = "\n".join(("\b", "Examples:", *(f"  {line}" for line in examples)))
        return command

    def found(self, ctx: Any, name: str) -> Any:
        """The command of that name, or None."""
        return super().get_command(ctx, name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One line a verb, never cut short: the first sentence of what each says of itself."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, self.summary(ctx, name)) for name in self.list_commands(ctx)])

    def summary(self, ctx: Any, name: str) -> str:
        """The first paragraph of a command's help."""
        return " ".join((self.found(ctx, name).help or "").split("\n\n")[0].split())


class VerbCommand(TyperCommand):
    """A verb."""

    def get_params(self, ctx: Any) -> Any:
        return [_read_plainly(parameter) for parameter in super().get_params(ctx)]


class LazyGroup(VerbGroup):
    """Imports <package>.<verb> when the verb is asked for, not before: its function of that name, or `app` where it has
    sub-verbs of its own."""

    verbs = VERBS
    package = "centime.cli"
    path = "centime"

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.verbs)

    def found(self, ctx: Any, name: str) -> Any:
        if name not in self.verbs:
            return None
        module = importlib.import_module(f"{self.package}.{name}")
        command = typer.main.get_command(getattr(module, "app", None) or _alone(getattr(module, name)))
        command.name = name
        return command

    def summary(self, ctx: Any, name: str) -> str:
        """Its line, without importing it."""
        return self.verbs[name]


def _alone(verb: Callable[..., None]) -> typer.Typer:
    """The parser of a verb that has no sub-verbs."""
    parser = typer.Typer(add_completion=False, rich_markup_mode=None)
    parser.command(cls=VerbCommand)(verb)
    return parser


def _is_path(parameter: Any) -> bool:
    """Whether an argument is a path; typer says so in one way or another, by its version."""
    described = getattr(parameter, "type_descriptor", None)
    kind = type(getattr(parameter, "type", None)).__name__
    return bool(getattr(described, "is_path", False)) or kind.endswith("Path")


def _read_plainly(parameter: Any) -> Any:
    """What is left out, and what is text and meant as text, is taken as it stands: typer asks pydantic, which takes as
    long to import as a whole plan."""
    described = getattr(parameter, "type_descriptor", None)
    several = parameter.multiple or parameter.nargs != 1
    if described is None or several or getattr(parameter, "read_plainly", False):
        return parameter
    read, callback = parameter.process_value, parameter.callback
    text = described.annotation is str and described.parameter_info.parser is None

    def process_value(ctx: Any, value: Any) -> Any:
        if (value is None and not parameter.required) or (text and isinstance(value, str)):
            return value if callback is None else callback(ctx, parameter, value)
        return read(ctx, value)

    parameter.process_value, parameter.read_plainly = process_value, True
    return parameter


def _refuse_empty(parameter: Any) -> None:
    """An empty path would be the folder that one stands in: a variable of the shell that is not set, most often."""
    read = parameter.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        if value == "" or (isinstance(value, (list, tuple)) and "" in value):
            name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
            what = "the path of a file or folder ('.' is the folder you are in)" if _is_path(parameter) else "a value"
            raise UserError(f"{name} is empty; give {what}.")
        return read(ctx, value)

    parameter.process_value = process_value


def _not_a_verb(word: str, path: str, verbs: list[str]) -> str:
    """What to say of a word that is no verb of `path`."""
    if path == "centime" and word in ELSEWHERE:
        return f"{word!r} is not a verb of `centime`. {ELSEWHERE[word]}"
    begun = [verb for verb in verbs if len(word) > 1 and verb.startswith(word)]
    close = f" Did you mean {begun[0]!r}?" if begun else nearest(word, verbs, 0.6)
    return f"{word!r} is not a verb of `{path}`.{close} `{path} --help` lists them."


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print centime's version and exit.")) -> None:
    """Train, serve and price DeepSeek-class language models, with the bill in view at every step."""
    if version:
        from centime import __version__

        typer.echo(f"centime {__version__}")
        raise typer.Exit
