"""Text completions, and fill-in-the-middle where a `suffix` is given."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from typing_extensions import TypedDict

from centime.data.tokenizer import FIM_BEGIN, FIM_END, FIM_HOLE
from centime.serve.api import logprobs
from centime.serve.api.admission import take_ticket
from centime.serve.api.answer import FinishReason, new_id
from centime.serve.api.call import Call, Choice
from centime.serve.api.errors import GENERATES, ApiError, described
from centime.serve.api.fields import Logprobs, Sampled, of_each
from centime.serve.api.logprobs import CompletionLogprobs
from centime.serve.api.reading import JsonRoute
from centime.serve.api.respond import DONE, KEEP_ALIVE, STREAMED, EventStream, Whole, as_event
from centime.serve.api.serving import Asking, Served, Serving
from centime.serve.api.usage import UsageBody, usage_of
from centime.serve.engine.request import Finished, Piece, TokenLogprob

if TYPE_CHECKING:
    from centime.data.tokenizer import Tokenizer

router = APIRouter(tags=["OpenAI and DeepSeek"], route_class=JsonRoute)
DEFAULT_MAX_TOKENS = 4096  # DeepSeek's most for fill-in-the-middle; unlike a chat, a text may go on without end

Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class CompletionRequest(Sampled):
    """A text to go on with, or to fill in before `suffix`. A prompt of token ids is taken as it is."""

    model: str
    prompt: str | Ids | Annotated[list[str], Field(min_length=1, max_length=1)] = ""
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Logprobs = None


class CompletionChoice(TypedDict):
    """One of n answers."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class Completion(TypedDict):
    """The answers to one request."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageBody | None


@dataclass
class Asked:
    """A completion being made."""

    body: CompletionRequest
    serving: Serving
    call: Call
    id: str = field(default_factory=lambda: new_id("cmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def told(self, choices: Sequence[CompletionChoice], usage: UsageBody | None) -> Completion:
        """The body of the whole answer, and of every chunk of it."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.body.model,
            "system_fingerprint": self.serving.fingerprint,
            "choices": list(choices),
            "usage": usage,
        }


@router.post(
    "/v1/completions",
    response_model=None,
    responses={200: {"model": Completion, "content": STREAMED}, **described(GENERATES)},
)
@router.post("/completions", response_model=None, include_in_schema=False)
@router.post("/beta/completions", response_model=None, include_in_schema=False)
@router.post("/beta/v1/completions", response_model=None, include_in_schema=False)
async def completions(body: CompletionRequest, request: Request, serving: Served, account: Asking) -> Response:
    """Go on with a text; with `suffix`, write what stands between the two."""
    serving.check_model(body.model)
    if body.echo and body.suffix is not None:
        raise ApiError(
            422, "echo returns the prompt before the answer; with a suffix there is no such place.", param="echo"
        )
    params = body.params(
        serving.tokenizer.vocab_size, logprobs=body.logprobs, max_tokens=body.max_tokens or DEFAULT_MAX_TOKENS
    )
    prompt = await serving.reading.run(account.name, prompt_of, body, serving.tokenizer)
    choices = [Choice(prompt, one) for one in of_each(params, body.n or 1)]
    asked = Asked(body, serving, await Call.start(serving, take_ticket(request), choices, body.isolation))
    if body.stream:
        return EventStream(asked.call, _stream(asked))
    return Whole(asked.call, _whole(asked), serving.patience)


def prompt_of(body: CompletionRequest, tokenizer: Tokenizer) -> list[int]:
    """Token ids: the text after a begin token; the two texts around a hole, in DeepSeek-V3's order, with a suffix.

    Of the text, as at DeepSeek's peers, control tokens are parsed in a prompt alone: it may be a rendered chat.
    """
    if body.suffix is None:
        if isinstance(body.prompt, list) and isinstance(body.prompt[0], int):
            return [int(token) for token in body.prompt]
        begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        ids = tokenizer.encode(_text(body))
        return ids if ids[:1] == begin else begin + ids
    marks = [tokenizer.token_id(mark) for mark in (FIM_BEGIN, FIM_HOLE, FIM_END)]
    if None in marks:
        raise ApiError(
            400, "This model's tokenizer has no tokens for fill-in-the-middle; leave `suffix` out.", param="suffix"
        )
    before, hole, after = (int(mark) for mark in marks if mark is not None)
    begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    around = [tokenizer.encode(text, parse_special=False) for text in (_text(body), body.suffix)]
    return [*begin, before, *around[0], hole, *around[1], after]


def _text(body: CompletionRequest) -> str:
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    if not isinstance(prompt, str):
        raise ApiError(422, "With a suffix the prompt is a text, not token ids.", param="prompt")
    return prompt


def _echoed(asked: Asked) -> str:
    if not asked.body.echo:
        return ""
    if isinstance(asked.body.prompt, list) and isinstance(asked.body.prompt[0], int):
        return asked.serving.tokenizer.decode([int(token) for token in asked.body.prompt])
    return _text(asked.body)


def _reason(end: Finished) -> FinishReason:
    if end.reason == "length":
        return "length"
    return "insufficient_system_resource" if end.reason in {"aborted", "failed"} else "stop"


async def _whole(asked: Asked) -> Completion:
    count = asked.body.n or 1
    texts, found = [_echoed(asked)] * count, [list[TokenLogprob]() for _ in range(count)]
    reasons: list[FinishReason] = ["stop"] * count
    async for told in asked.call.events():
        if told is None:
            continue
        index, event = told
        if isinstance(event, Piece):
            texts[index] += event.text
            found[index].extend(event.logprobs)
        elif isinstance(event, Finished):
            reasons[index] = _reason(event)
    offset = len(_echoed(asked))
    return asked.told(
        [
            {
                "index": index,
                "text": texts[index],
                "logprobs": _reported(asked, found[index], offset),
                "finish_reason": reasons[index],
            }
            for index in range(count)
        ],
        usage_of(asked.call),
    )


async def _stream(asked: Asked) -> AsyncGenerator[bytes]:
    """Chunks of text; the usage on the last one, and by itself after it where the client asks for that."""
    written = [0] * (asked.body.n or 1)
    left = len(written)
    if asked.body.echo:
        for index in range(len(written)):
            written[index] = len(_echoed(asked))
            yield _chunk(asked, index, _echoed(asked))
    async for told in asked.call.events():
        if told is None:
            yield KEEP_ALIVE
            continue
        index, event = told
        if isinstance(event, Piece):
            yield _chunk(asked, index, event.text, _reported(asked, event.logprobs, written[index]))
            written[index] += len(event.text)
        elif isinstance(event, Finished):
            left -= 1
            yield _chunk(asked, index, "", None, _reason(event), usage_of(asked.call) if left == 0 else None)
    if asked.body.stream_options is not None and asked.body.stream_options.include_usage:
        yield as_event(asked.told([], usage_of(asked.call)))
    yield DONE


def _reported(asked: Asked, found: Sequence[TokenLogprob], offset: int) -> CompletionLogprobs | None:
    if asked.body.logprobs is None:
        return None
    return logprobs.for_completion(asked.serving.tokenizer, found, offset)


def _chunk(
    asked: Asked,
    index: int,
    text: str,
    told: CompletionLogprobs | None = None,
    reason: FinishReason | None = None,
    usage: UsageBody | None = None,
) -> bytes:
    return as_event(asked.told([{"index": index, "text": text, "logprobs": told, "finish_reason": reason}], usage))
