"""Fields that several request bodies share, as OpenAI's and DeepSeek's APIs name them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from centime.errors import UserError
from centime.serve.engine.request import MAX_LOGPROBS, MAX_STOPS, SamplingParams
from centime.serve.http.errors import ApiError
from centime.serve.http.validation import FORM, UNSUPPORTED
from centime.serve.wording import in_words

MAX_CHOICES = 16  # answers to one call
MAX_STOP_LENGTH = 1024  # characters: every stop string is looked for after every token
MAX_BIASES = 1024


class Body(BaseModel):
    """A request's JSON object. Fields that we do not know are ignored: clients send more than any server takes."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, populate_by_name=True)


# Of a part that is text: its type -> where the text stands.
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def _joined(value: Any) -> Any:
    """Texts given as a list of parts, such as {"type": "text", "text": ...}, as one text."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise PydanticCustomError(
            FORM, "found {what}, expected a string, or a list of text parts", {"what": in_words(value)}
        )
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(_TEXTS[kind]) if isinstance(kind, str) and kind in _TEXTS else None
        if text is None and isinstance(kind, str) and kind in _TEXTS:
            raise PydanticCustomError(
                FORM, "a part of type {kind} needs its field {field}", {"kind": in_words(kind), "field": _TEXTS[kind]}
            )
        if not isinstance(text, str):
            what = f"a part of type {in_words(kind)}" if isinstance(part, dict) else in_words(part)
            raise PydanticCustomError(FORM, "this model reads text only; found {what}", {"what": what})
        texts.append(text)
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


def no_limit(value: Any) -> Any:
    """-1 is vLLM's and llama.cpp's word for no limit and for no seed, and the one that many clients send."""
    return None if value in (-1, "-1") else value


def _or_minus_one(least: int, most: int) -> WithJsonSchema:
    numbers = {"type": "integer", "minimum": least, "maximum": most}
    return WithJsonSchema({"anyOf": [numbers, {"const": -1}, {"type": "null"}]})


MaxTokens = Annotated[Annotated[int, Field(ge=1, le=2**31)] | None, BeforeValidator(no_limit), _or_minus_one(1, 2**31)]
"""Most tokens of an answer; None: all that the context has room for."""

MaxTokensOrNone = Annotated[Annotated[int, Field(ge=0, le=2**31)] | None, BeforeValidator(no_limit)]
"""The same of a text completion, which may be for its prompt's log-probabilities alone."""

TopK = Annotated[Annotated[int, Field(ge=0, le=2**31)] | None, BeforeValidator(no_limit), _or_minus_one(0, 2**31)]
"""Of how many of the best tokens one is drawn; None and 0: of all."""

Seed = Annotated[Annotated[int, Field(ge=-(2**63), lt=2**64)] | None, BeforeValidator(no_limit)]
"""Where the random numbers begin; None: anywhere."""


def _listed(value: Any) -> Any:
    """A string as a list of it."""
    if isinstance(value, str):
        return [value]
    if value is not None and not isinstance(value, list):
        raise PydanticCustomError(
            FORM, "found {what}, expected a string, or a list of strings", {"what": in_words(value)}
        )
    return value


_STRINGS = {"type": "array", "items": {"type": "string", "maxLength": MAX_STOP_LENGTH}, "maxItems": MAX_STOPS}
Stops = Annotated[
    Annotated[list[Annotated[str, Field(max_length=MAX_STOP_LENGTH)]], Field(max_length=MAX_STOPS)] | None,
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": MAX_STOP_LENGTH}, _STRINGS, {"type": "null"}]}),
]
"""A string, or several, before which the answer ends. Empty ones, which forms send for "none", are ignored."""


def not_taken(instead: str) -> BeforeValidator:
    """Of a field that would change the answer: refused where it is given, with what to send instead, never ignored."""

    def refused(value: Any) -> None:
        if value is not None:
            raise PydanticCustomError(UNSUPPORTED, "not taken here; {instead}", {"instead": instead})

    return BeforeValidator(refused)


HeldElsewhere = Annotated[None, not_taken("what an answer is held to is the response_format of a chat")]
"""What vLLM and llama-server call the shape of an answer: a client that is not held to it reads what it cannot."""


class StreamOptions(Body):
    """What a stream carries besides the answer."""

    include_usage: bool | None = Field(None, description="The usage on a last chunk without choices.")


class Amounts(Body):
    """What decides how much is computed, in which form it comes, and for whom. The gateway reads it by these types."""

    max_tokens: MaxTokens = Field(None, description="By default, or -1, all that the context has room for.")
    n: int | None = Field(None, ge=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=512)
    user_id: str | None = Field(None, max_length=512, description="Separates the prefix cache of the key's users.")


class Sampled(Amounts):
    """How tokens are chosen. From `top_k` on they are this server's own, and other servers' that are refused."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    seed: Seed = Field(None, description="By default, or -1, at random.")
    stop: Stops = Field(None, description=f"At most {MAX_STOPS} strings; empty ones are ignored.")
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(None, max_length=MAX_BIASES)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    top_k: TopK = Field(None, description="0, or -1, keeps all tokens.")
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    stop_token_ids: list[int] | None = Field(None, max_length=64)
    ignore_eos: bool | None = None
    structured_outputs: HeldElsewhere = None
    guided_json: HeldElsewhere = None
    guided_regex: HeldElsewhere = None
    guided_choice: HeldElsewhere = None
    guided_grammar: HeldElsewhere = None
    grammar: HeldElsewhere = None
    json_schema: HeldElsewhere = None

    @property
    def isolation(self) -> str:
        """Whose prefix cache this call uses."""
        return self.user_id or self.user or ""

    def params(self, vocabulary: int, *, logprobs: int | None, max_tokens: int | None = None) -> SamplingParams:
        """For the engine. Raises ApiError (422) on a value that the description above cannot exclude."""
        given: dict[str, Any] = {
            name: value
            for name in (
                *("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty"),
                *("repetition_penalty", "seed", "ignore_eos"),
            )
            if (value := getattr(self, name)) is not None
        }
        bias = {_token("logit_bias", token, vocabulary): value for token, value in (self.logit_bias or {}).items()}
        ends = [_token("stop_token_ids", token, vocabulary) for token in self.stop_token_ids or ()]
        try:
            return SamplingParams(
                max_tokens=max_tokens or self.max_tokens or 2**31,
                stop=tuple(text for text in self.stop or () if text),
                stop_token_ids=tuple(ends),
                logit_bias=bias,
                logprobs=logprobs,
                **given,
            )
        except UserError as error:
            raise ApiError(422, str(error)) from None


def _token(param: str, given: str | int, vocabulary: int) -> int:
    """A token id. Raises ApiError (422) where it is none of the model's."""
    if isinstance(given, str):
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 20 else -1
    else:
        number = given
    if not 0 <= number < vocabulary:
        raise ApiError(
            422, f"{param}: found {in_words(given)}, expected a token id from 0 to {vocabulary - 1:,}.", param=param
        )
    return number


def of_each(params: SamplingParams, choices: int) -> list[SamplingParams]:
    """The parameters of each choice: a seed that is given is one for the first, its successors for the others."""
    if params.seed is None:
        return [params] * choices
    return [dataclasses.replace(params, seed=params.seed + index) for index in range(choices)]


Logprobs = Annotated[int | None, Field(ge=0, le=MAX_LOGPROBS)]
Thinking = Literal["enabled", "disabled", "adaptive", "auto"]
