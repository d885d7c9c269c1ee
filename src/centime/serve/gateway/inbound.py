"""A request as the gateway understands it, and as it sends it on.

The fields that decide how much is computed, and in which form it comes, are read by the types of our own server, which
are pydantic's as at vLLM and SGLang. What was understood is what is sent: `"stream": "yes"` goes on as `true`, so that
no upstream reads such a field otherwise. Every other field goes on as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from centime.serve.gateway.prompt_bounds import most_prompt_tokens, number_of_prompts
from centime.serve.http.errors import ApiError
from centime.serve.http.paths import Kind
from centime.serve.protocol.fields import Amounts, Body, MaxTokens, MaxTokensOrNone, StreamOptions

MAX_CHOICES = 128  # answers to one prompt, as at OpenAI
MAX_TOKENS_IN_ALL = 2**40  # that one request may ask for: beyond it no sum of money is sensible
LENGTHS = ("max_tokens", "max_completion_tokens", "n_predict")  # names of the longest answer
DEFAULT_MAX_TOKENS = 4096  # where neither client nor upstream names a limit; DeepSeek-V3's API had the same

_UNKNOWN = ConfigDict(extra="allow", allow_inf_nan=False)
Choices = Annotated[int, Field(ge=1, le=MAX_CHOICES)]


class PassedStreamOptions(StreamOptions):
    """What a stream tells beside the answer."""

    model_config = _UNKNOWN


class ChatBody(Amounts):
    """A conversation. Upstreams know the longest answer, and the number of answers, by several names."""

    model_config = _UNKNOWN
    max_completion_tokens: MaxTokens = Field(None, description="OpenAI's newer name of max_tokens.")
    n_predict: MaxTokens = Field(None, description="llama-server's name of max_tokens.")
    n: Choices | None = None
    n_cmpl: Choices | None = Field(None, description="llama-server's name of n.")
    best_of: Choices | None = Field(None, description="So many answers are computed and n returned.")
    stream_options: PassedStreamOptions | None = None
    timings_per_token: bool | None = Field(None, description="llama-server's: counts and times with every chunk.")


class CompletionBody(ChatBody):
    """A text to go on with, or with `max_tokens` 0 to look at alone."""

    max_tokens: MaxTokensOrNone = None
    n_predict: MaxTokensOrNone = None


class MessagesBody(Body):
    """A conversation in Anthropic's words."""

    model_config = _UNKNOWN
    max_tokens: MaxTokens = None
    stream: bool | None = None
    metadata: dict[str, Any] | None = None


class EmbeddingsBody(Body):
    """Texts to embed. There is no answer whose length could be limited."""

    model_config = _UNKNOWN


class QuestionBody(Body):
    """What is to be counted; the upstream reads it."""

    model_config = _UNKNOWN


@dataclass(frozen=True)
class Inbound:
    """One request. body: with what was understood in place of what was sent.

    prompts x choices answers of `max_tokens` each at most, None: no limit is named; prompt_bound: tokens of all prompts
    at most, as their bytes tell, None: they do not (an image).
    """

    kind: Kind
    body: dict[str, Any]
    stream: bool
    wants_usage: bool  # of a stream: the client asked for the chunk with the usage
    wants_timings: bool
    prompts: int
    choices: int
    max_tokens: int | None
    prompt_bound: int | None
    lowered: int | None = None  # the most tokens of each answer, where what is left of a budget pays no more

    @property
    def answers(self) -> int:
        """How many sequences are made, of all prompts together."""
        return self.prompts * self.choices

    @property
    def echoes(self) -> bool:
        """Whether the answer's text begins with the prompt."""
        return self.kind == "completions" and bool(self.body.get("echo"))

    def most_output(self, context: int | None, counted: int | None = None) -> int:
        """Output tokens at most, of all answers together. Raises ApiError (422) beyond what any request may ask for.

        context: tokens that the upstream has room for, where it says; counted: those of the prompt, where they are
        known, so that what is left of the context is a limit too.
        """
        each = self.max_tokens if self.max_tokens is not None else context or DEFAULT_MAX_TOKENS
        if context is not None and counted is not None:
            each = min(each, max(0, context - counted))
        if self.answers * each > MAX_TOKENS_IN_ALL:
            raise ApiError(
                422,
                f"{self.prompts:,} prompts with {self.choices} answers of {each:,} tokens are more than "
                f"{MAX_TOKENS_IN_ALL:,} tokens; ask for fewer.",
                param="max_tokens",
            )
        return self.answers * each

    def lowered_to(self, tokens: int) -> Inbound:
        """The request with answers of so many tokens at most."""
        names = [name for name in LENGTHS if name in self.body] or ["max_tokens"]
        body = self.body | {name: min(self.body.get(name, tokens), tokens) for name in names}
        return replace(self, body=body, max_tokens=tokens, lowered=tokens)

    def for_upstream(self, kind: str, context: int | None) -> dict[str, Any]:
        """The body as it is sent to an upstream of this kind.

        A stream is asked to tell its usage, by vLLM, SGLang and llama-server with every chunk, which counts answers cut
        short too; and where nobody names a limit there is one, so that there is a most that the answer can cost.
        """
        body = dict(self.body)
        if self.stream and self.kind in {"chat", "completions"}:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            if kind in {"vllm", "sglang"}:
                body["stream_options"]["continuous_usage_stats"] = True
            elif kind == "llamacpp":
                body["timings_per_token"] = True
        if self.kind != "embeddings" and self.max_tokens is None and context is None:
            body["max_tokens"] = DEFAULT_MAX_TOKENS
        return body


def parse_inbound(kind: Kind, read: Body, sent: Mapping[str, Any], size: int) -> Inbound:
    """The request of a body of `size` bytes. read: its fields by their types; sent: all of it."""
    body = _normal(read, sent)
    options = body.get("stream_options") or {}
    lengths = [body[name] for name in LENGTHS if name in body]
    embeds = kind == "embeddings"
    return Inbound(
        kind=kind,
        body=body,
        stream=not embeds and bool(body.get("stream")),
        wants_usage=bool(options.get("include_usage")),
        wants_timings=bool(body.get("timings_per_token")),
        prompts=number_of_prompts(body),
        choices=1 if kind in {"messages", "embeddings"} else max(body.get(n, 1) for n in ("n", "n_cmpl", "best_of")),
        max_tokens=0 if embeds else max(lengths, default=None),
        prompt_bound=most_prompt_tokens(body, size),
    )


def _normal(read: Body, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent, with the fields that have types as they were read; null is not given, to every reader."""
    body = dict(sent)
    for name in type(read).model_fields.keys() & sent.keys():
        value = getattr(read, name)
        body[name] = _normal(value, sent[name]) if isinstance(value, Body) else value
        if value is None:
            del body[name]
    return body
