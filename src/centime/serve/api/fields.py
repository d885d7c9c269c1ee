"""Fields that several request bodies share, as OpenAI's and DeepSeek's APIs name them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from centime.errors import UserError
from centime.serve.api.errors import ApiError
from centime.serve.engine.request import MAX_LOGPROBS, MAX_STOPS, SamplingParams

MAX_CHOICES = 16  # answers to one call


class Body(BaseModel):
    """A request's JSON object. Fields that we do not know are ignored: clients send more than any server takes."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, populate_by_name=True)


def _joined(value: Any) -> Any:
    """Texts given as a list of {"type": "text", "text": ...} parts, as one text."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str) or part.get("type") != "text":
            kind = part.get("type") if isinstance(part, dict) else part
            raise PydanticCustomError(
                "text_part_type", "this model reads text only; found a part {kind}", {"kind": repr(kind)[:100]}
            )
        texts.append(part["text"])
    return "".join(texts)


_PARTS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
        "required": ["type", "text"],
    },
}
Text = Annotated[
    str, BeforeValidator(_joined), WithJsonSchema({"anyOf": [{"type": "string"}, _PARTS], "title": "Content"})
]
"""A text, or a list of text parts."""


class StreamOptions(Body):
    """What a stream carries besides the answer."""

    include_usage: bool | None = Field(None, description="A last chunk without choices that carries the usage.")


def no_limit(value: Any) -> Any:
    """-1 is vLLM's and llama.cpp's word for no limit, and the one that many clients send."""
    return None if value in (-1, "-1") else value


MaxTokens = Annotated[Annotated[int, Field(ge=1, le=2**31)] | None, BeforeValidator(no_limit)]
"""Most tokens of an answer; None: all that the context has room for."""

MaxTokensOrNone = Annotated[Annotated[int, Field(ge=0, le=2**31)] | None, BeforeValidator(no_limit)]
"""The same of a text completion, which may be for its prompt's log-probabilities alone."""


class Amounts(Body):
    """What decides how much is computed, in which form it comes, and for whom. The gateway reads it by these types."""

    max_tokens: MaxTokens = Field(None, description="By default all that the context has room for.")
    n: int | None = Field(None, ge=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=512)
    user_id: str | None = Field(None, max_length=512, description="Separates the prefix cache of the key's users.")


class Sampled(Amounts):
    """How tokens are chosen. The last five are this server's own."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    stop: str | list[str] | None = Field(None, description=f"At most {MAX_STOPS} strings, none of them empty.")
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    top_k: int | None = Field(None, ge=0, le=2**31, description="0 keeps all tokens.")
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    stop_token_ids: list[int] | None = Field(None, max_length=64)
    ignore_eos: bool | None = None

    @property
    def isolation(self) -> str:
        """Whose prefix cache this call uses."""
        return self.user_id or self.user or ""

    def params(self, vocabulary: int, *, logprobs: int | None, max_tokens: int | None = None) -> SamplingParams:
        """For the engine. Raises ApiError (422) on a value that the description above cannot exclude."""
        given: dict[str, Any] = {
            name: value
            for name in (
                *("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "seed"),
                *("ignore_eos",),
            )
            if (value := getattr(self, name)) is not None
        }
        if self.repetition_penalty is not None:
            given["repetition_penalty"] = self.repetition_penalty
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        try:
            bias = {int(token): value for token, value in (self.logit_bias or {}).items()}
        except ValueError:
            raise ApiError(422, "logit_bias: the keys are token ids.", param="logit_bias") from None
        unknown = [token for token in (*bias, *(self.stop_token_ids or ())) if not 0 <= token < vocabulary]
        if unknown:
            raise ApiError(422, f"Token {unknown[0]} is not one of the model's {vocabulary:,}.", param="logit_bias")
        try:
            return SamplingParams(
                max_tokens=max_tokens or self.max_tokens or 2**31,
                stop=tuple(stop),
                stop_token_ids=tuple(self.stop_token_ids or ()),
                logit_bias=bias,
                logprobs=logprobs,
                **given,
            )
        except UserError as error:
            raise ApiError(422, str(error)) from None


def of_each(params: SamplingParams, choices: int) -> list[SamplingParams]:
    """The parameters of each choice: a seed that is given is one for the first, its successors for the others."""
    if params.seed is None:
        return [params] * choices
    return [dataclasses.replace(params, seed=params.seed + index) for index in range(choices)]


Logprobs = Annotated[int | None, Field(ge=0, le=MAX_LOGPROBS)]
Thinking = Literal["enabled", "disabled", "adaptive", "auto"]
