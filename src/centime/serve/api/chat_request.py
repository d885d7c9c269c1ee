"""The body of a chat completion: OpenAI's fields, DeepSeek's, and a few of our own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from centime.serve.api.fields import Body, Logprobs, MaxTokens, Sampled, Text, Thinking

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Called(Body):
    """A function that was called, its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(Body):
    """A call that an earlier answer made."""

    id: str = ""
    type: Literal["function"] = "function"
    function: Called


class Message(Body):
    """A turn. `prefix` on a last assistant turn: go on from it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    prefix: bool | None = None

    @model_validator(mode="after")
    def says_something(self) -> Message:
        """Only an assistant's turn that called tools, or thought, may be without content."""
        if self.content is None and not (self.role == "assistant" and (self.tool_calls or self.prefix)):
            raise PydanticCustomError("missing", "a turn of role {role} needs content", {"role": self.role})
        return self


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
            raise PydanticCustomError("missing", "the type {type} needs a field {type}", {"type": self.type})
        return self


class ThinkingMode(Body):
    """Whether a model that can think before it answers shall."""

    type: Thinking


class ChatRequest(Sampled):
    """A conversation to go on with."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: MaxTokens = Field(None, description="OpenAI's newer name of max_tokens.")
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Logprobs = None
    thinking: ThinkingMode | None = None
    reasoning_effort: str | None = Field(None, max_length=32, description='"none" turns thinking off.')

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
