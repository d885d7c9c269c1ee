"""The body of Anthropic's Messages API, and the chat it stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from centime.serve.http.errors import ApiError
from centime.serve.protocol.chat_request import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Called,
    ChatRequest,
    Function,
    FunctionName,
    Message,
    NamedTool,
    ResponseFormat,
    SchemaFormat,
    ThinkingMode,
    Tool,
    ToolCall,
    ToolName,
)
from centime.serve.protocol.fields import Body, Stops, Thinking, TopK
from centime.serve.wording import in_words


class ContentPart(Body):
    """A part of a text; this model reads those of type text only."""

    type: str
    text: str | None = None


class ContentBlock(ContentPart):
    """A part of a turn's content; which fields it has depends on its type."""

    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    is_error: bool | None = None


class Turn(Body):
    """A turn: a text, or blocks of text, thinking, tool use and tool results."""

    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[ContentBlock], Field(fail_fast=True)]


class AnthropicTool(Body):
    """A function the model may call."""

    name: ToolName
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(Body):
    """auto: as it likes; any: some tool; tool: the one that `name` says; none."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Body):
    """Whether to think first. The budget is not held to: DeepSeek ignores it too."""

    type: Thinking
    budget_tokens: int | None = None


class OutputFormat(Body):
    """A JSON schema that the answer fits."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    """How the answer is to look."""

    format: OutputFormat | None = None
    effort: str | None = None


class Metadata(Body):
    """user_id separates the prefix cache of the key's users."""

    user_id: str | None = Field(None, max_length=512)


class CountRequest(Body):
    """A conversation whose tokens are counted."""

    model: str
    messages: Annotated[list[Turn], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    system: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    tools: Annotated[list[AnthropicTool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None


class MessagesRequest(CountRequest):
    """A conversation to go on with."""

    max_tokens: int = Field(ge=1, le=2**31)
    stop_sequences: Stops = None
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: TopK = None
    metadata: Metadata | None = None


def as_chat_request(body: CountRequest) -> ChatRequest:
    """The same request in the words of the other API. Raises ApiError on content that is not text."""
    messages = []
    if body.system:
        messages.append(Message(role="system", content=_text(body.system, "system")))
    for turn in body.messages:
        messages += _messages(turn)
    if len(messages) > MAX_MESSAGES:  # each tool result has become one
        raise ApiError(422, f"messages: at most {MAX_MESSAGES:,} turns and tool results are taken.", param="messages")
    last = messages[-1]
    if last.role == "assistant" and not last.tool_calls:  # Anthropic's clients begin an answer so
        messages[-1] = last.model_copy(update={"prefix": True})
    choice: Any = None
    if body.tool_choice is not None:
        choice = {"any": "required", "tool": None}.get(body.tool_choice.type, body.tool_choice.type)
        if choice is None:
            choice = NamedTool(type="function", function=FunctionName(name=body.tool_choice.name or ""))
    shape = body.output_format or (body.output_config.format if body.output_config else None)
    more: dict[str, Any] = {}
    if isinstance(body, MessagesRequest):
        more = {
            "max_tokens": body.max_tokens,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "top_k": body.top_k,
            "stop": body.stop_sequences or None,
            "user_id": body.metadata.user_id if body.metadata else None,
        }
    return ChatRequest(
        model=body.model,
        messages=messages,
        tools=[_tool(tool) for tool in body.tools or []] or None,
        tool_choice=choice,
        parallel_tool_calls=not (body.tool_choice and body.tool_choice.disable_parallel_tool_use),
        response_format=None
        if shape is None
        else ResponseFormat(type="json_schema", json_schema=SchemaFormat(schema=shape.schema_)),
        # Anthropic's API thinks only where it is asked to
        thinking=ThinkingMode(type=body.thinking.type if body.thinking else "disabled"),
        **more,
    )


def _tool(tool: AnthropicTool) -> Tool:
    if tool.input_schema is None:
        raise ApiError(
            400, f"tools: {tool.name!r} has no input_schema; tools that run here are not known.", param="tools"
        )
    function = Function(name=tool.name, description=tool.description, parameters=tool.input_schema, strict=tool.strict)
    return Tool(type="function", function=function)


def _messages(turn: Turn) -> list[Message]:
    """One turn may be several messages: each tool result is one, and they come before the rest of the turn."""
    if isinstance(turn.content, str):
        return [Message(role=turn.role, content=turn.content)]
    results, texts, thoughts, calls = [], [], [], []
    for block in turn.content:
        if block.type == "tool_result":
            content = _text(block.content or "", "tool_result")
            results.append(Message(role="tool", content=content, tool_call_id=block.tool_use_id))
        elif block.type == "tool_use":
            arguments = json.dumps(block.input or {}, ensure_ascii=False)
            calls.append(ToolCall(id=block.id or "", function=Called(name=block.name or "", arguments=arguments)))
        elif block.type == "thinking":
            thoughts.append(block.thinking or "")
        elif block.type != "redacted_thinking":
            texts.append(_text([block], "messages"))
    if not (texts or calls or thoughts) and results:
        return results
    rest = Message(
        role=turn.role,
        content="".join(texts),
        tool_calls=calls or None,
        reasoning_content="\n".join(thoughts) if thoughts else None,
    )
    return [*results, rest]


def _text(content: str | Sequence[ContentPart], where: str) -> str:
    if isinstance(content, str):
        return content
    for block in content:
        if block.type == "text" and block.text is None:
            raise ApiError(400, f"{where}: a block of type 'text' needs its field text.", param=where)
        if block.type != "text":
            raise ApiError(
                400, f"{where}: this model reads text only; found a block of type {in_words(block.type)}.", param=where
            )
    return "\n".join(block.text or "" for block in content)
