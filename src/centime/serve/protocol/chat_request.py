"""The body of a chat completion: OpenAI's fields, DeepSeek's, and a few of our own."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from centime.serve.http.errors import ApiError
from centime.serve.http.validation import FORM
from centime.serve.protocol.fields import Body, Logprobs, MaxTokens, Sampled, Text, Thinking, not_taken
from centime.serve.wording import in_words

MAX_MESSAGES = 100_000  # in one request, as at Anthropic
MAX_TOOLS = 128  # as at OpenAI and DeepSeek

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _json_text(value: Any) -> Any:
    """Arguments as text: some clients replay them as the object that they are, or null where there were none."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value or ""


class Called(Body):
    """A function that was called, its arguments as JSON text: whatever a model wrote there, JSON or not."""

    name: str
    arguments: Annotated[str, BeforeValidator(_json_text)] = ""


def _as_function(value: Any) -> Any:
    """OpenAI's calls of custom tools have an `input` of any text instead of arguments."""
    if not isinstance(value, dict) or value.get("type") != "custom" or not isinstance(value.get("custom"), dict):
        return value
    custom = value["custom"]
    return {"id": value.get("id"), "function": {"name": custom.get("name"), "arguments": custom.get("input")}}


class ToolCall(Body):
    """A call that an earlier answer made."""

    id: str | None = None
    type: Literal["function"] | None = "function"
    function: Called


Words = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
"""A text that other servers put beside an answer's content; in another form it is ignored."""


class Message(Body):
    """A turn. `prefix` on a last assistant turn: go on from it.

    What earlier answers said is taken as clients replay it: with a refusal in place of a content, a thought alone, or
    nothing at all. Before there were tools there were functions: one `function_call`, and turns of role "function".
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | None = None
    refusal: Words = None
    name: str | None = None
    tool_calls: Annotated[list[Annotated[ToolCall, BeforeValidator(_as_function)]], Field(fail_fast=True)] | None = None
    function_call: Called | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: Words = Field(None, description="Another name of reasoning_content.")
    prefix: bool | None = None

    @model_validator(mode="after")
    def says_something(self) -> Message:
        """Only what a person or an application says needs a content."""
        if self.content is None and self.role in ("system", "developer", "user"):
            raise PydanticCustomError(FORM, "a turn of role {role} needs a content", {"role": self.role})
        return self

    def turn(self) -> dict[str, Any]:
        """As chat formats take it: one of four roles, a content that is text, calls under one name."""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        turn: dict[str, Any] = {"role": role, "content": self.content or ""}
        if role == "tool":
            return turn if self.tool_call_id is None else {**turn, "tool_call_id": self.tool_call_id}
        if role != "assistant":
            return turn
        turn["content"] = self.content or self.refusal or ""
        thought = self.reasoning if self.reasoning_content is None else self.reasoning_content
        if thought is not None:
            turn["reasoning_content"] = thought
        calls = [
            {"id": call.id or "", "type": "function", "function": call.function.model_dump()} for call in self.calls
        ]
        return {**turn, "tool_calls": calls} if calls else turn

    @property
    def calls(self) -> list[ToolCall]:
        """What an assistant's turn called."""
        if self.tool_calls:
            return self.tool_calls
        return [ToolCall(function=self.function_call)] if self.function_call else []


class Function(Body):
    """A function that the model may call. strict: its arguments are held to `parameters`."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """So far there are only functions."""

    type: Literal["function"]
    function: Function


class FunctionName(Body):
    """A function by its name."""

    name: str


class NamedTool(Body):
    """The function to call."""

    type: Literal["function"]
    function: FunctionName


class Allowed(Body):
    """Of the tools, those that may be called; required: one of them must be."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]


class AllowedTools(Body):
    """A choice of some of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: Allowed


def _usual_choice(value: Any) -> Any:
    """The choices as Anthropic, Mistral and OpenAI's newer API write them, in this one's words."""
    kind = value.get("type") if isinstance(value, dict) else value
    if kind == "any":
        return "required"
    if kind in ("auto", "none", "required"):
        return kind
    if not isinstance(value, dict):
        return value
    if kind == "tool" or (kind == "function" and "function" not in value and "name" in value):
        return {"type": "function", "function": {name: value[name] for name in ("name",) if name in value}}
    if kind == "allowed_tools" and "allowed_tools" not in value:
        return {"type": kind, "allowed_tools": {name: value[name] for name in ("mode", "tools") if name in value}}
    return value


def _kind_of_choice(value: Any) -> str | None:
    """Which of the three it is meant to be; None: none of them."""
    if isinstance(value, str):
        return "word"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return {"function": "named", "allowed_tools": "allowed"}.get(kind) if isinstance(kind, str) else None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("word")]
    | Annotated[NamedTool, Tag("named")]
    | Annotated[AllowedTools, Tag("allowed")],
    Discriminator(
        _kind_of_choice,
        custom_error_type=FORM,
        custom_error_message="expected 'none', 'auto', 'required', or an object whose type is 'function' or "
        "'allowed_tools'",
    ),
]


class SchemaFormat(Body):
    """A JSON schema that the answer fits."""

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """What an answer looks like. `regex` with its pattern and `grammar` with its EBNF are this server's own."""

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    json_schema: SchemaFormat | None = None
    regex: str | None = None
    grammar: str | None = None

    @model_validator(mode="after")
    def is_whole(self) -> ResponseFormat:
        """Each type but the first two comes with what it needs."""
        needed = {"json_schema": self.json_schema, "regex": self.regex, "grammar": self.grammar}
        if needed.get(self.type, "") is None:
            raise PydanticCustomError(FORM, "the type {type} needs a field {type}", {"type": self.type})
        return self


class ThinkingMode(Body):
    """Whether a model that can think before it answers shall."""

    type: Thinking


Older = Annotated[None, not_taken("send tools and tool_choice")]
"""A field that would change the answer, and that no client of today sends."""


class ChatRequest(Sampled):
    """A conversation to go on with."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    max_completion_tokens: MaxTokens = Field(None, description="OpenAI's newer name of max_tokens.")
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: Annotated[ToolChoice | None, BeforeValidator(_usual_choice)] = None
    parallel_tool_calls: bool | None = None
    functions: Older = None
    function_call: Older = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Logprobs = None
    thinking: ThinkingMode | None = None
    reasoning_effort: str | None = Field(None, max_length=32, description='"none" turns thinking off.')

    @model_validator(mode="after")
    def offers_what_is_allowed(self) -> ChatRequest:
        """Of the tools only those that may be called are offered."""
        if isinstance(self.tool_choice, AllowedTools):
            allowed = self.tool_choice.allowed_tools
            names = [tool.function.name for tool in allowed.tools]
            unknown = set(names) - {tool.function.name for tool in self.tools or ()}
            if unknown:
                message = f"tool_choice allows {in_words(min(unknown))}, which is not among the tools."
                raise ApiError(422, message, param="tool_choice")
            self.tools = [tool for tool in self.tools or () if tool.function.name in names]
            self.tool_choice = allowed.mode
        return self

    @property
    def reported_logprobs(self) -> int | None:
        """How many of the best tokens to report beside each chosen one; None: no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def thinks(self) -> bool:
        """Whether the client wants the model to think, which is the default as at DeepSeek."""
        if self.thinking is not None:
            return self.thinking.type != "disabled"
        return self.reasoning_effort != "none"
