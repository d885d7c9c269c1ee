"""A function's arguments as DeepSeek-V3.2 writes them: a tag each, strings as they are, everything else as JSON."""

from __future__ import annotations

from typing import Any

from centime.errors import UserError
from centime.serve.grammar import pattern_nodes
from centime.serve.grammar.ebnf import LAST, UNWRITABLE, check, literal, of, one_of, union, without, writable
from centime.serve.grammar.flat import TYPES, Nothing, Schema, refuse
from centime.serve.grammar.objects import joined_members, members, other_key
from centime.serve.grammar.schema import SchemaGrammar
from centime.serve.grammar.strings import Style, string
from centime.serve.grammar.unions import leaves

DSML = "｜DSML｜"
# Every marker of DeepSeek's has this bar. Without it in a value, no value can be taken for the end of a call.
BAR = of("｜")
_STRING, _OTHER = ' string="true">', ' string="false">'
_TEXT = without(((0x00, LAST),), UNWRITABLE)


class TagGrammar:
    """Writes the rules of a block of parameters."""

    def __init__(self, schema: Any) -> None:
        self._values = SchemaGrammar(schema, banned=BAR)
        self._schema = schema
        character = one_of(without(_TEXT, BAR))
        self._style = Style(pattern_nodes.raw(BAR), self._free(), character, quoted=False)

    def text(self) -> str:
        """The grammar. Raises UserError where the schema cannot be held, or admits no object."""
        rules = self._values.rules
        try:
            flat = self._values.reader.flat(self._schema, "#")
            bodies = [self._block(branch, place) for branch, place in leaves(self._values.reader, flat, "#")]
        except Nothing:
            bodies = []
        found = [body for body in bodies if body is not None]
        if not found:
            raise UserError("it admits no object")
        text = rules.text(rules.add(" | ".join(found)))
        check(text, rules.places)
        return text

    def _free(self) -> str:
        """Any text in which no end tag begins: `</` and the bar do not meet."""
        rules = self._values.rules
        text, after, slashed = rules.reserve(), rules.reserve(), rules.reserve()
        bar = BAR[0]
        rules.define(text, f'{one_of(without(_TEXT, of("<")))} {text} | "<" {after} | ""')
        rules.define(after, f'"<" {after} | "/" {slashed} | {one_of(without(_TEXT, of("</")))} {text} | ""')
        rules.define(slashed, f'"<" {after} | {one_of(without(_TEXT, union(of("<"), (bar,))))} {text} | ""')
        return text

    def _block(self, flat: Schema, place: str) -> str | None:
        if "object" not in flat.get("type", TYPES) or "enum" in flat:
            raise UserError(f"the arguments at {place} must be an object")
        found = members(flat, place, self)
        if found is None:
            return None
        joined, may_be_empty = joined_members(self._values.rules, found, literal("\n"))
        if joined is None:
            return '""' if may_be_empty else None
        return f"({joined})?" if may_be_empty else joined

    def key(self, name: str) -> str:
        """A parameter's name in its tag."""
        if not name or set(name) & set('"<>&\\｜') or not name.isprintable():
            raise UserError(f"a parameter is named {name!r}; in a tag it can have no quotes, brackets and bars")
        return literal(f'"{name}"')

    def other_key(self, names: Any) -> str:
        """A parameter's name that is none of these."""
        return other_key(self._values.rules, ["", *names], union(of("<>&"), BAR))

    def member(self, key: str, schema: Any, place: str) -> str | None:
        """A parameter: a string as it is, or another value as JSON."""
        begin, end = literal(f"<{DSML}parameter name="), literal(f"</{DSML}parameter>")
        found = []
        if (text := self._texts({"allOf": [schema, {"type": "string"}]}, place)) is not None:
            found.append(f"{begin} {key} {literal(_STRING)} {text} {end}")
        others = {"allOf": [schema, {"type": [one for one in TYPES if one not in {"string", "integer"}]}]}
        if (value := self._values.value(others, place)) is not None:
            found.append(f"{begin} {key} {literal(_OTHER)} {value} {end}")
        return " | ".join(found) if found else None

    def _texts(self, schema: Any, place: str) -> str | None:
        reader = self._values.reader
        try:
            flats = [one for one, _ in leaves(reader, reader.flat(schema, place), place)]
        except Nothing:
            return None
        found = [body for flat in flats if (body := self._flat_text(flat, place)) is not None]
        return f"({' | '.join(found)})" if found else None

    def _flat_text(self, flat: Schema, place: str) -> str | None:
        if "enum" not in flat:
            return string(flat, place, self._style)
        texts = [one for one in flat["enum"] if isinstance(one, str)]
        if flat.keys() - {"enum", "type"} & {"pattern", "format", "minLength", "maxLength"}:
            refuse("enum", place, "stands beside what bounds a string, which is not supported")
        if any(not writable(one, BAR) for one in texts):
            refuse("enum", place, "has a text with control characters or the bar of DeepSeek's markers")
        return f"({' | '.join(map(literal, texts))})" if texts else None
