"""How a verb ends: every way it can go, as an exit code and at most one sentence.

0        done
1        `plan rerun`: the figures are others; `doctor`: something needed is broken
2        what was asked cannot be done: a sentence says what was found, what was expected and what to do
70       a fault of centime itself (EX_SOFTWARE of sysexits.h)
128 + n  ended by signal n: 130 Ctrl-C, 143 SIGTERM, 141 the reader of standard output has left
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
import unicodedata
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from centime.cli.program.streams import OUTPUT
from centime.errors import UserError

FAULT = 70
_LONG = re.compile(r"\S{300,}")  # a word that nobody reads: what was given, quoted in full
_UNSEEN = {"Cc", "Cf", "Cs"}  # Unicode's categories of controls, format marks and lone surrogates
MAY_BE_EMPTY = {"--prompt", "--system"}  # texts of a person's own
DEBUG = "CENTIME_DEBUG"  # set, it shows the trace of whatever ended a verb


def run(arguments: Sequence[str], metered: bool = False) -> int:
    """Runs `centime ARGUMENTS`, prints what went wrong, and returns the exit code. Raises nothing.

    `metered`: the process is booked from its creation on; a book that cannot be is an end like any other.
    """
    try:
        if metered:
            from centime.ledger import life

            life.begin(arguments[0])
        _require_text(arguments)
        return _invoke(arguments)
    except BaseException as error:
        if os.environ.get(DEBUG) not in (None, "", "0"):
            traceback.print_exception(error)
        code, sentence = ending(error, arguments)
        if sentence:
            print(f"centime: {_shown(sentence)}", file=sys.stderr)
        return code


def ending(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit code and the sentence (empty: nothing to say) for what a verb raised."""
    match error:
        case UserError():
            return 2, _with_flag(str(error), arguments)
        case KeyboardInterrupt():
            return 128 + signal.SIGINT, "interrupted."
        case SystemExit():
            return _of_exit(error)
        case BrokenPipeError() if error.filename == OUTPUT:  # the reader (head, less) has all that it wants
            return 128 + signal.SIGPIPE, ""
        case ImportError() if not (error.name or "").startswith("centime"):
            return 2, _missing(error, arguments)
        case OSError():
            return _of_system(error)
        case MemoryError() | RuntimeError() if _of_memory(error):
            return 2, f"{_verb(arguments)} needs more memory than this process may take. Ask for less, or free some."
    return _of_parser(error, arguments) or (FAULT, _unforeseen(error, arguments))


def _of_memory(error: BaseException) -> bool:
    """Whether no memory was found. torch's allocators raise a RuntimeError, whose text alone says so."""
    text = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text


def _shown(sentence: str) -> str:
    """The sentence as a terminal may have it: no control character of a file's name moves the cursor or colours it."""
    plain = "".join(
        one if one == "\n" or unicodedata.category(one) not in _UNSEEN else repr(one)[1:-1] for one in sentence
    )
    return _LONG.sub(_middle_left_out, plain)


def _middle_left_out(word: re.Match[str]) -> str:
    return f"{word[0][:120]}...{word[0][-40:]}"


def _invoke(arguments: Sequence[str]) -> int:
    import typer

    from centime.cli.program.group import app

    command: Any = typer.main.get_command(app)
    if "_CENTIME_COMPLETE" in os.environ:  # the shell asks for completions: typer answers and exits
        command.main(list(arguments), prog_name="centime")
    try:
        with command.make_context("centime", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    return 0


def _require_text(arguments: Sequence[str]) -> None:
    """Raises UserError for bytes that are not UTF-8: no path with them could be booked, no text with them tokenised.

    And for an option without a value: read as one left out, it would answer another question.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            raise UserError(f"the argument '{shown}' is not UTF-8; give text and names of files in UTF-8.") from None
    for flag, value in _options(arguments):
        if value == "" and flag not in MAY_BE_EMPTY:  # of a shell's variable that is not set
            raise UserError(f"{flag} is given an empty text; give it a value, or leave it out.")


def _options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(flag, value) of what is written --flag=value or --flag value; a flag that takes none comes with what follows."""
    own = list(takewhile(lambda argument: argument != "--", arguments))
    found = [argument.partition("=")[::2] for argument in own if argument.startswith("--") and "=" in argument]
    return found + [(flag, value) for flag, value in pairwise(own) if re.match(r"--[a-z]", flag) and "=" not in flag]


def _with_flag(sentence: str, arguments: Sequence[str]) -> str:
    """The sentence, with the option whose value it quotes before it, unless it names one of those given itself.

    What the API calls max_tokens is --max-tokens here. A name with a line break in it does not break the sentence.
    """
    for argument in arguments:
        if "\n" in argument:
            sentence = sentence.replace(argument, argument.replace("\n", "\\n"))
    given = _options(arguments)
    if any(flag in sentence for flag, _ in given):
        return sentence
    for flag, _ in given:
        if sentence.startswith(f"{flag[2:].replace('-', '_')} "):
            return flag + sentence[len(flag) - 2 :]
    quoted = {flag for flag, value in given if repr(value) in sentence}
    return f"{quoted.pop()}: {sentence}" if len(quoted) == 1 else sentence


def _of_exit(error: SystemExit) -> tuple[int, str]:
    """sys.exit(code), or sys.exit(message) as the interpreter reads it; rich leaves so when the reader has left."""
    if isinstance(error.__context__, BrokenPipeError):
        return 128 + signal.SIGPIPE, ""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0, ""
    return 1, str(error.code)


def _of_system(error: OSError) -> tuple[int, str]:
    """A file, folder or device that refused, where no verb has a better sentence."""
    why = (error.strerror or str(error) or type(error).__name__).lower()
    if error.filename is None:
        return 2, f"the system refused: {why}. {_how_to_trace()}"
    what = error.filename if error.filename == OUTPUT else f"{os.fspath(error.filename)!r}"
    return 2, f"{what} cannot be used: {why}."


def _of_parser(error: BaseException, arguments: Sequence[str]) -> tuple[int, str] | None:
    """What typer says of arguments, in a sentence; a verb without any gets its help. None for another's exception."""
    import typer

    kinds = {kind.__name__: kind for kind in typer.BadParameter.__mro__}
    if not isinstance(error, kinds["ClickException"]):
        return None
    refused: Any = error
    if type(error).__name__ == "NoArgsIsHelpError":
        print(refused.format_message(), file=sys.stderr)
        return 2, ""
    path = refused.ctx.command_path if getattr(refused, "ctx", None) is not None else "centime"
    said = _one_line(refused.format_message()).removesuffix(".")
    return 2, f"{said[:1].lower()}{said[1:]}. `{path} --help` shows what it takes."


def _missing(error: ImportError, arguments: Sequence[str]) -> str:
    """A library that is not here or does not load, and the command that mends it."""
    from centime.installation import missing

    name = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and name:
        return f"{_verb(arguments)} needs {name}, which is not in {sys.prefix}; add it with: {missing(arguments)}"
    return (
        f"{_verb(arguments)} needs {name or 'a library'}, which does not load ({_one_line(str(error))}); "
        "`centime doctor` looks at all of them."
    )


def _unforeseen(error: BaseException, arguments: Sequence[str]) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "centime" in Path(frame.filename).parts]
    where = f" at {'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}" if frames else ""
    said = _one_line(str(error))[:300]
    return (
        f"{_verb(arguments)} met a fault of centime itself: {type(error).__name__}{where}"
        f"{f': {said}' if said else ''}. {_how_to_trace()}"
    )


def _one_line(text: str) -> str:
    """`text` with every run of blanks and line ends as one space."""
    return " ".join(text.split())


def _how_to_trace() -> str:
    return f"{DEBUG}=1 shows the trace."


def _verb(arguments: Sequence[str]) -> str:
    """'`centime plan`' for `centime plan train ...`."""
    return f"`centime {arguments[0]}`" if arguments and not arguments[0].startswith("-") else "`centime`"
