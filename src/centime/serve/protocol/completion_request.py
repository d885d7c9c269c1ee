"""The body of a text completion: OpenAI's fields, its prompts in any of their four forms, what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from centime.data.tokenizers.tokenizer import FIM_BEGIN, FIM_END, FIM_HOLE
from centime.serve.engine.request import MAX_LOGPROBS, SamplingParams
from centime.serve.http.errors import ApiError
from centime.serve.http.validation import FORM, VALUE
from centime.serve.protocol.fields import HeldElsewhere, MaxTokensOrNone, Sampled
from centime.serve.wording import in_words

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

DEFAULT_MAX_TOKENS = 4096  # DeepSeek's most for fill-in-the-middle; unlike a chat, a text may go on without end
MAX_ANSWERS = 64  # prompts times n in one call: a quarter of the queue, so that one call leaves places to others
MAX_REPORTED = 2**18  # log-probabilities of prompts in one call: about 8 MB of JSON
_FORMS = "give a text, a list of texts, a list of token ids or a list of such lists"

Prompt = str | list[int]


def _prompts(value: Any) -> list[Prompt]:
    """The four forms of OpenAI's `prompt` as a list of prompts."""
    if value is None:
        return [""]
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise _form("found {found}; {forms}", found=_kind(value))
    if not value:
        raise PydanticCustomError(VALUE, "the list is empty; {forms}", {"forms": _FORMS})
    if type(value[0]) is int:
        return [_ids(value, "the list")]
    for number, one in enumerate(value):
        if type(one) is not type(value[0]) or not isinstance(one, str | list):
            kinds = (_kind(value[0]), _kind(one))
            what = f"a list with {kinds[0]} at 0 and {kinds[1]} at {number}" if number else f"a list of {kinds[0]}"
            raise _form("found {found}; {forms}", found=what)
    return [one if isinstance(one, str) else _ids(one, f"the list at {number}") for number, one in enumerate(value)]


def _ids(value: list[Any], name: str) -> list[int]:
    if not value:
        raise PydanticCustomError(VALUE, "{name} has no token ids; give at least one", {"name": name})
    for at, one in enumerate(value):
        if type(one) is not int:  # True is an int, and no id
            raise _form(
                "{name} has {found} at {at}, where a token id is expected; {forms}", name=name, found=_kind(one), at=at
            )
    if min(value) < 0:
        raise PydanticCustomError(VALUE, "token ids are not negative; found {found}", {"found": in_words(min(value))})
    return value


def _kind(value: Any) -> str:
    names = {int: "a number", float: "a fraction", bool: "a truth value", str: "a text", list: "a list"}
    return names.get(type(value), "an object" if value is not None else "null")


def _form(message: Any, **context: Any) -> PydanticCustomError:
    return PydanticCustomError(FORM, message, {"forms": _FORMS, **context})


def _no_flag(value: Any) -> Any:
    """In a chat `logprobs` is true or false; taken for a number here, true would silently mean 1."""
    if isinstance(value, bool):
        raise PydanticCustomError(
            VALUE,
            "here it is how many of the likeliest tokens to report, from 0 to {most}; true and false are for chats",
            {"most": MAX_LOGPROBS},
        )
    return value


_ID_LIST = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_ANY_FORM = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_ANSWERS},
        _ID_LIST,
        {"type": "array", "items": _ID_LIST, "minItems": 1, "maxItems": MAX_ANSWERS},
    ],
    "title": "Prompt",
}


class CompletionRequest(Sampled):
    """Texts to go on with, n answers to each, or one to fill in before `suffix`. Token ids are taken as they are."""

    model: str
    prompt: Annotated[list[Prompt], PlainValidator(_prompts), WithJsonSchema(_ANY_FORM)] = Field([""])
    max_tokens: MaxTokensOrNone = Field(None, description="4,096 by default; 0 is for `echo` with `logprobs`.")
    suffix: str | None = None
    response_format: HeldElsewhere = None
    echo: bool | None = None
    logprobs: Annotated[
        int | None, Field(ge=0, le=MAX_LOGPROBS, description="How many of the likeliest tokens to report beside each."),
        BeforeValidator(_no_flag),
    ] = None  # fmt: skip
    best_of: int | None = Field(None, description="Nothing is left out of what was answered: as many as n, if given.")
    prompt_logprobs: int | None = Field(None, description="vLLM's; here `echo` with `logprobs` reports the prompt.")

    def check(self) -> None:
        """Raises ApiError (422) for what no field can say alone."""
        answers = len(self.prompt) * (self.n or 1)
        if answers > MAX_ANSWERS:
            raise ApiError(
                422,
                f"prompt: {len(self.prompt):,} prompts of n = {self.n or 1} answers each are {answers:,}; one call may "
                f"ask for {MAX_ANSWERS}. Send several calls.",
                param="prompt",
            )
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ApiError(
                422,
                f"best_of is {self.best_of} and n is {self.n or 1}: this server returns every answer that it makes. "
                "Leave best_of out, and choose among n answers.",
                param="best_of",
            )
        if self.prompt_logprobs is not None:
            raise ApiError(
                422,
                "prompt_logprobs is not known here: `echo` with `logprobs` reports the prompt's tokens, and max_tokens "
                "may be 0.",
                param="prompt_logprobs",
            )
        if self.suffix is not None:
            self._check_suffix()

    def _check_suffix(self) -> None:
        if len(self.prompt) > 1 or not isinstance(self.prompt[0], str):
            raise ApiError(422, "With a suffix the prompt is one text: no list, no token ids.", param="prompt")
        if self.echo:
            raise ApiError(
                422, "echo returns the prompt before the answer; with a suffix there is no such place.", param="echo"
            )

    @property
    def scores_prompts(self) -> bool:
        """Whether the log-probabilities of the prompts' own tokens are asked for."""
        return bool(self.echo) and self.logprobs is not None

    def params_for(self, vocabulary: int) -> SamplingParams:
        """For the engine, of every answer."""
        return dataclasses.replace(
            self.params(vocabulary, logprobs=self.logprobs),
            max_tokens=DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens,
            prompt_logprobs=self.logprobs if self.echo else None,
        )


def prompts_of(body: CompletionRequest, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of each prompt; of the two texts around a hole, in DeepSeek-V3's order, with a suffix.

    Of the text, as at DeepSeek's peers, control tokens are parsed in a prompt alone: it may be a rendered chat.
    """
    if body.suffix is not None:
        return [_around(str(body.prompt[0]), body.suffix, tokenizer)]
    prompts = [_ids_of(one, tokenizer) for one in body.prompt]
    for number, ids in enumerate(prompts):
        where = f"prompt {number}" if len(prompts) > 1 else "prompt"
        if not ids:
            raise ApiError(422, f"{where} has no token; give at least one character.", param="prompt")
        if max(ids) >= tokenizer.vocab_size:
            raise ApiError(
                422,
                f"{where} has token {in_words(max(ids))}; this model knows ids from 0 to {tokenizer.vocab_size - 1}.",
                param="prompt",
            )
    _check_reported(body, prompts)
    return prompts


def _ids_of(prompt: Prompt, tokenizer: Tokenizer) -> list[int]:
    """A text's tokens after a begin token; ids as they are."""
    return begun(tokenizer, prompt) if isinstance(prompt, str) else prompt


def begun(tokenizer: Tokenizer, text: str) -> list[int]:
    """A text's tokens after one begin token, its own where it begins with that."""
    begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    ids = tokenizer.encode(text)
    return ids if ids[:1] == begin else begin + ids


def _check_reported(body: CompletionRequest, prompts: Sequence[Sequence[int]]) -> None:
    if not body.scores_prompts:
        return
    assert body.logprobs is not None
    reported = sum(map(len, prompts)) * (body.logprobs + 1) * (body.n or 1)
    if reported > MAX_REPORTED:
        raise ApiError(
            422,
            f"logprobs: echo would report {reported:,} log-probabilities of prompts, more than the {MAX_REPORTED:,} of "
            "one call; ask for fewer logprobs a token, or send fewer prompts in a call.",
            param="logprobs",
        )


def _around(before: str, after: str, tokenizer: Tokenizer) -> list[int]:
    marks = [tokenizer.token_id(mark) for mark in (FIM_BEGIN, FIM_HOLE, FIM_END)]
    if None in marks:
        raise ApiError(
            400, "This model's tokenizer has no tokens for fill-in-the-middle; leave `suffix` out.", param="suffix"
        )
    first, hole, last = (int(mark) for mark in marks if mark is not None)
    begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    around = [tokenizer.encode(text, parse_special=False) for text in (before, after)]
    return [*begin, first, *around[0], hole, *around[1], last]
