"""The body of a request to the Responses API (https://platform.openai.com/docs/api-reference/responses/create)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from centime.serve.http.validation import UNSUPPORTED
from centime.serve.protocol.chat_request import MAX_MESSAGES, MAX_TOOLS
from centime.serve.protocol.fields import Body, MaxTokens, not_taken

_STATELESS = not_taken("nothing is kept between requests: send the whole conversation as input")
Item = dict[str, Any]


def _not_stored(value: Any) -> Any:
    """Who asks for an answer to be kept would look for it later in vain."""
    if value is True:
        raise PydanticCustomError(UNSUPPORTED, "nothing is kept between requests; send false, or leave it out")
    return value


class Reasoning(Body):
    """How much the model thinks before it answers."""

    effort: str | None = Field(None, max_length=32)
    summary: str | None = Field(None, max_length=32)


class TextFormat(Body):
    """What the answer looks like."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(Body):
    """Of the text that is written."""

    format: TextFormat | None = None


class ResponsesRequest(Body):
    """A conversation to go on with, as one list of items: turns, thoughts, calls and what they returned."""

    model: str
    input: Annotated[str, Field(max_length=2**26)] | Annotated[list[Item], Field(max_length=MAX_MESSAGES)]
    instructions: str | None = None
    max_output_tokens: MaxTokens = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = None
    tools: Annotated[list[Item], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | Item | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = Field(None, max_length=32)
    metadata: dict[str, Any] | None = None
    user: str | None = Field(None, max_length=512)
    safety_identifier: str | None = Field(None, max_length=512)
    prompt_cache_key: str | None = Field(None, max_length=512)
    store: Annotated[bool | None, BeforeValidator(_not_stored)] = None
    background: Annotated[bool | None, BeforeValidator(_not_stored)] = None
    previous_response_id: Annotated[None, _STATELESS] = None
    conversation: Annotated[None, _STATELESS] = None
    prompt: Annotated[None, not_taken("send the prompt's text as instructions and input")] = None
    top_logprobs: Annotated[None, not_taken("chat completions tell log-probabilities")] = None

    @property
    def keeps_thoughts(self) -> bool:
        """Whether thoughts come back in the form that a client returns with its next request."""
        return "reasoning.encrypted_content" in (self.include or ())
