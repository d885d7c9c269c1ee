"""How DeepSeek's models write tool calls: as fenced JSON (V3, R1), as bare JSON (V3.1) or as tags (V3.2).

Each syntax writes past calls into a prompt and reads new ones from an answer. The spellings are those of the chat
templates and of `encoding_dsv32.py` in DeepSeek's model folders; bars are U+FF5C and blanks U+2581.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from centime.serve.formats.reader import TextReader
from centime.serve.json_body import UnreadableJson, read_json

CALLS_BEGIN, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL_BEGIN, CALL_END, SEP = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
DSML = "｜DSML｜"
BLANK = " \t\r\n"


Kind = Literal["reasoning", "content", "call", "arguments"]


@dataclass(frozen=True)
class Delta:
    """A further piece of an answer. kind "call" begins call number `index`; its text is the function's name."""

    kind: Kind
    text: str
    index: int = 0


Reading = Generator[Delta | None, None, None]


def deltas(
    pieces: Generator[str | None, None, str | None],
    kind: Kind,
    index: int = 0,
    shape: Callable[[str], str] = str,
) -> Generator[Delta | None, None, str | None]:
    """The pieces of a reading, each through `shape`, as deltas; returns what the reading returns."""
    while True:
        try:
            piece = next(pieces)
        except StopIteration as done:
            marker: str | None = done.value
            return marker
        yield None if piece is None else Delta(kind, shape(piece), index)


@dataclass(frozen=True)
class Json:
    """Calls as JSON between control tokens: `fenced` in a code block after a line with the name (V3, R1), or bare."""

    fenced: bool

    opens = CALLS_BEGIN
    lead = ""  # what stands between the content of an answer and its calls

    def _around(self, name: str) -> tuple[str, str]:
        """What stands before and after the arguments of a call of `name`."""
        if self.fenced:
            return f"{CALL_BEGIN}function{SEP}{name}\n```json\n", f"\n```{CALL_END}"
        return f"{CALL_BEGIN}{name}{SEP}", CALL_END

    @property
    def _between(self) -> str:
        return "\n" if self.fenced else ""

    def write(self, calls: Sequence[Mapping[str, Any]]) -> str:
        """A block of calls, each {"function": {"name", "arguments": JSON text}}, as the chat templates do."""
        written = []
        for call in calls:
            before, after = self._around(call["function"]["name"])
            written.append(before + call["function"]["arguments"] + after)
        return CALLS_BEGIN + self._between.join(written) + CALLS_END

    def read(self, source: TextReader, numbers: Iterator[int]) -> Reading:
        """The calls of a block whose opening was just read, up to and with its end; each takes the next number.

        Lenient where models are: blanks around everything, a missing fence, a call ended by the block's end.
        """
        while True:
            _, marker = yield from source.upto(CALL_BEGIN, CALLS_END)
            if marker != CALL_BEGIN:
                return
            name, marker = yield from source.upto(SEP)
            if self.fenced and marker is not None:  # before the separator stood the type, "function"
                name, marker = yield from source.upto("\n")
            if marker is None:
                return
            index = next(numbers)
            yield Delta("call", name.strip(), index)
            yield from source.skip(BLANK)
            if self.fenced and (yield from source.starts("```json")):
                yield from source.skip(BLANK)
            loose = BLANK + "`" if self.fenced else BLANK
            marker = yield from deltas(source.pieces(CALL_END, CALLS_END, loose=loose), "arguments", index)
            if marker != CALL_END:
                return

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, parallel: bool) -> dict[str, Any]:
        """A structural format (`serve/grammar/gate.py`) of a block of calls, at least one, of these functions."""
        tags = []
        for tool in tools:
            before, after = self._around(tool["function"]["name"])
            schema = _arguments(tool)
            tags.append({"type": "tag", "begin": before, "content": schema, "end": after})
        return _block(CALLS_BEGIN, tags, self._between, CALLS_END, parallel)


@dataclass(frozen=True)
class Tags:
    """Calls as V3.2 writes them: an invoke tag a function, a parameter tag an argument; strings unquoted."""

    block: str = "function_calls"

    lead = "\n\n"

    @property
    def opens(self) -> str:
        return f"<{DSML}{self.block}>"

    @property
    def _ends(self) -> str:
        return f"</{DSML}{self.block}>"

    def write(self, calls: Sequence[Mapping[str, Any]]) -> str:
        """As encoding_dsv32.py does: arguments that are no JSON object go in as one parameter named `arguments`."""
        written = []
        for call in calls:
            function = call["function"]
            try:
                arguments = read_json((function["arguments"] or "{}").encode("utf-8", "replace"))
            except UnreadableJson:
                arguments = None
            if not isinstance(arguments, dict):
                arguments = {"arguments": function["arguments"]}
            tags = [
                f'<{DSML}parameter name="{name}" string="{"true" if isinstance(value, str) else "false"}">'
                f"{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}</{DSML}parameter>"
                for name, value in arguments.items()
            ]
            lines = [f'<{DSML}invoke name="{function["name"]}">', *tags, f"</{DSML}invoke>"]
            written.append("\n".join(lines))
        return "\n".join([self.opens, *written, self._ends])

    def read(self, source: TextReader, numbers: Iterator[int]) -> Reading:
        """The parameters become one JSON object, written on as they come."""
        invoke, parameter, end = f'<{DSML}invoke name="', f'<{DSML}parameter name="', f"</{DSML}invoke>"
        while True:
            _, marker = yield from source.upto(invoke, self._ends)
            if marker != invoke:
                return
            name, marker = yield from source.upto('">')
            if marker is None:
                return
            index, first = next(numbers), True
            yield Delta("call", name.strip(), index)
            while True:
                _, marker = yield from source.upto(parameter, end, self._ends)
                if marker != parameter:
                    break
                header, marker = yield from source.upto('">')
                if marker is None:
                    return
                key, _, string = header.partition('" string="')
                opening = "{" if first else ", "
                yield Delta("arguments", f"{opening}{json.dumps(key, ensure_ascii=False)}: ", index)
                first = False
                marker = yield from self._value(source, index, string != "false")
                if marker is None:
                    return
            if marker is None:
                return
            yield Delta("arguments", "{}" if first else "}", index)
            if marker == self._ends:
                return

    def _value(self, source: TextReader, index: int, string: bool) -> Generator[Delta | None, None, str | None]:
        """One parameter's value as JSON; returns its end tag, None when the text ended before."""
        end = f"</{DSML}parameter>"
        if not string:
            yield from source.skip(BLANK)
            return (yield from deltas(source.pieces(end, loose=BLANK), "arguments", index))
        yield Delta("arguments", '"', index)
        marker = yield from deltas(source.pieces(end), "arguments", index, _escaped)
        if marker is not None:
            yield Delta("arguments", '"', index)
        return marker

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, parallel: bool) -> dict[str, Any]:
        """One tag a function, its parameters in the style of V3.2."""
        tags = []
        for tool in tools:
            schema = {**_arguments(tool), "style": "deepseek_xml"}
            begin = f'<{DSML}invoke name="{tool["function"]["name"]}">\n'
            tags.append({"type": "tag", "begin": begin, "content": schema, "end": f"\n</{DSML}invoke>"})
        return _block(self.opens + "\n", tags, "\n", "\n" + self._ends, parallel)


Calls = Json | Tags


def parameters(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a function's arguments; any object where it states none."""
    found: dict[str, Any] | None = tool["function"].get("parameters")
    return found or {"type": "object"}


def _arguments(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The structural format of a call's arguments; `function` is for the sentence that refuses them."""
    return {"type": "json_schema", "json_schema": parameters(tool), "function": tool["function"]["name"]}


def _block(begin: str, tags: list[dict[str, Any]], between: str, end: str, parallel: bool) -> dict[str, Any]:
    calls = {"type": "tags_with_separator", "tags": tags, "separator": between, "at_least_one": True}
    if not parallel:
        calls["stop_after_first"] = True
    return {"type": "tag", "begin": begin, "content": calls, "end": end}


def _escaped(piece: str) -> str:
    """A part of a JSON string's inside: escapes are per character, so parts may be joined."""
    return json.dumps(piece, ensure_ascii=False)[1:-1]
