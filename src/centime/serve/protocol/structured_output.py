"""Which grammar an answer is held to: by its response format, by the tools that must be called, or by strict tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from centime.serve.grammar.gate import GrammarSpec, grammar_spec
from centime.serve.http.errors import ApiError
from centime.serve.protocol.chat_request import ChatRequest, NamedTool, ResponseFormat

if TYPE_CHECKING:
    from centime.serve.formats import ChatFormat


def offered_tools(body: ChatRequest) -> list[dict[str, Any]]:
    """The tools the model is told of: none when the client wants none called, one when it names it."""
    tools = [tool.model_dump(exclude_none=True) for tool in body.tools or []]
    if isinstance(body.tool_choice, NamedTool):
        name = body.tool_choice.function.name
        named = [tool for tool in tools if tool["function"]["name"] == name]
        if not named:
            raise ApiError(422, f"tool_choice names {name!r}, which is not among the tools.", param="tool_choice")
        return named
    if body.tool_choice == "required" and not tools:
        raise ApiError(422, "tool_choice is 'required' and there are no tools.", param="tool_choice")
    return [] if body.tool_choice == "none" else tools


def grammar_spec_for(body: ChatRequest, tools: Sequence[dict[str, Any]], chat_format: ChatFormat) -> GrammarSpec | None:
    """What the answer's grammar is compiled from, None when the answer is free.

    Raises UserError where a schema, a pattern or a grammar is too large to be looked at.
    """
    wanted = None if body.response_format is None or body.response_format.type == "text" else body.response_format
    if not tools:
        return None if wanted is None else _response(wanted)
    calls = chat_format.calls.grammar(tools, parallel=body.parallel_tool_calls is not False)
    if body.tool_choice not in (None, "auto"):
        lead = {"type": "const_string", "value": chat_format.calls.lead}
        return grammar_spec("structure", {"type": "sequence", "elements": [lead, calls]} if lead["value"] else calls)
    if wanted is not None:
        return grammar_spec("structure", {"type": "or", "elements": [calls, _shape(wanted)]})
    if any(tool["function"].get("strict") for tool in tools):
        free_until = {"type": "triggered_tags", "triggers": [chat_format.calls.opens], "tags": [calls]}
        return grammar_spec("structure", {**free_until, "stop_after_first": True})
    return None


def holding_field(body: ChatRequest, tools: Sequence[dict[str, Any]]) -> str | None:
    """The field of the body that the grammar is of; None where it is of both."""
    wanted = body.response_format is not None and body.response_format.type != "text"
    if not tools or not wanted:
        return "response_format" if wanted else "tools"
    return None if body.tool_choice in (None, "auto") else "tools"


def _response(wanted: ResponseFormat) -> GrammarSpec:
    if wanted.regex is not None and wanted.type == "regex":
        return grammar_spec("regex", wanted.regex)
    if wanted.grammar is not None and wanted.type == "grammar":
        return grammar_spec("ebnf", wanted.grammar)
    return grammar_spec("schema", _schema(wanted))


def _shape(wanted: ResponseFormat) -> dict[str, Any]:
    """The same as a structural format, to be one alternative of several."""
    if wanted.type in {"regex", "grammar"}:
        name = "pattern" if wanted.type == "regex" else "grammar"
        return {"type": wanted.type, name: getattr(wanted, wanted.type)}
    return {"type": "json_schema", "json_schema": _schema(wanted)}


def _schema(wanted: ResponseFormat) -> dict[str, Any]:
    found = wanted.json_schema.schema_ if wanted.json_schema and wanted.type == "json_schema" else None
    return found if found is not None else {"type": "object"}
