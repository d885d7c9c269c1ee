"""The one gate in front of the grammar compiler: what a client asks an answer to fit becomes EBNF, or is refused.

Nothing is dropped silently: what cannot be held is refused with a UserError that names it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from centime.errors import UserError
from centime.serve.grammar import pattern_nodes, patterns
from centime.serve.grammar.ebnf import check
from centime.serve.grammar.schema import SchemaGrammar
from centime.serve.grammar.tags import BAR, TagGrammar

Kind = Literal["schema", "regex", "ebnf", "structure"]
_NAMES: dict[Kind, str] = {
    "schema": "the JSON schema",
    "regex": "the regular expression",
    "ebnf": "the grammar",
    "structure": "the tools' parameters",
}

# For orientation: OpenAI takes 5,000 properties, 1,000 values of enums and 120,000 characters of names and values.
MAX_BYTES = 512 * 1024
MAX_LEVELS = 100  # objects and lists within each other; a schema's object is two of them
MAX_VALUES = 5_000  # of all enums
MAX_PROPERTIES = 5_000


@dataclass(frozen=True)
class GrammarSpec:
    """What a grammar is compiled from, so that another process can compile it too."""

    kind: Kind
    text: str

    @property
    def name(self) -> str:
        """What it is to the client, to begin a sentence with."""
        return _NAMES[self.kind]


def grammar_spec(kind: Kind, wanted: Any) -> GrammarSpec:
    """The spec of a schema, a pattern, a grammar or a structure. Raises UserError when it is too large to look at.

    wanted: of JSON that fits a schema the schema; of text that a regular expression matches as a whole its pattern; of
    text that a grammar in xgrammar's EBNF derives from its rule `root` that grammar; of text of a structural format of
    xgrammar's, such as the tool calls of `serve.formats`, the format.
    """
    with _named(kind):
        text = wanted if isinstance(wanted, str) else _json(wanted)
        if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
            raise UserError(f"it has more than {MAX_BYTES:,} bytes")
        return GrammarSpec(kind, text)


def _json(value: Any) -> str:
    values = properties = 0
    level: list[Any] = [value]
    for _ in range(MAX_LEVELS):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                values += len(one["enum"]) if isinstance(one.get("enum"), list) else 0
                properties += len(one["properties"]) if isinstance(one.get("properties"), dict) else 0
                below += one.values()
            elif isinstance(one, list):
                below += one
        level = below
    if level:
        raise UserError(f"it is nested more than {MAX_LEVELS} deep")
    if values > MAX_VALUES or properties > MAX_PROPERTIES:
        raise UserError(
            f"it has {properties:,} properties and {values:,} values of enums; "
            f"at most {MAX_PROPERTIES:,} and {MAX_VALUES:,} are taken"
        )
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        raise UserError("it has NaN or an infinite number, which JSON has not") from None


class _named:
    """Says of a UserError what cannot be used."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError) and "cannot be used" not in str(error):
            raise UserError(f"{_NAMES[self._kind]} cannot be used: {reason(error)}.") from None


def reason(error: BaseException) -> str:
    """An error's sentence, short and without anything that a terminal would obey."""
    text = str(error).strip().rstrip(".")
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text[:400])


def held(spec: GrammarSpec) -> str:
    """What the compiler is given: EBNF, or of a "structure" a structural tag. Raises UserError with what is refused."""
    with _named(spec.kind):
        match spec.kind:
            case "schema":
                return schema_grammar(json.loads(spec.text))
            case "regex":
                return regex_grammar(spec.text)
            case "ebnf":
                check(spec.text)
                return spec.text
        return json.dumps({"type": "structural_tag", "format": _structure(json.loads(spec.text))})


def schema_grammar(schema: Any, *, among_markers: bool = False) -> str:
    """EBNF of JSON that fits a schema; among_markers: where a bar in a value could be taken for a marker."""
    grammar = SchemaGrammar(schema, banned=BAR if among_markers else ())
    text = grammar.rules.text(grammar.root())
    check(text, grammar.rules.places)
    return text


def regex_grammar(pattern: str) -> str:
    """EBNF of the texts that a pattern matches as a whole."""
    text = f"root ::= {pattern_nodes.written(patterns.parse(pattern), pattern_nodes.raw())}"
    check(text)
    return text


def _structure(shape: dict[str, Any]) -> dict[str, Any]:
    """A structural format whose schemas and patterns are grammars."""
    match shape["type"]:
        case "json_schema":
            function = shape.get("function")
            try:
                tags = shape.get("style") == "deepseek_xml"
                schema = shape["json_schema"]
                text = TagGrammar(schema).text() if tags else schema_grammar(schema, among_markers=True)
            except UserError as error:
                whose = f"the parameters of {function!r}" if function else "the JSON schema"
                raise UserError(f"{whose} cannot be used: {reason(error)}.") from None
            return {"type": "grammar", "grammar": text}
        case "regex":
            with _named("regex"):
                return {"type": "grammar", "grammar": regex_grammar(shape["pattern"])}
        case "grammar":
            with _named("ebnf"):
                check(shape["grammar"])
    inner: dict[str, Any] = {
        name: [_structure(one) for one in shape[name]] for name in ("elements", "tags") if name in shape
    }
    content = {"content": _structure(shape["content"])} if "content" in shape else {}
    return {**shape, **inner, **content}
