"""Text completions, and fill-in-the-middle where a `suffix` is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response

from centime.serve.api.admission import take_ticket
from centime.serve.api.call import Call, Choice
from centime.serve.api.completion_answer import Asked, Completion, stream, whole
from centime.serve.api.completion_request import CompletionRequest, prompts_of
from centime.serve.api.echo import Echo
from centime.serve.api.errors import GENERATES, described
from centime.serve.api.fields import of_each
from centime.serve.api.reading import JsonRoute
from centime.serve.api.respond import STREAMED, EventStream, Whole
from centime.serve.api.serving import Asking, Served

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

router = APIRouter(tags=["OpenAI and DeepSeek"], route_class=JsonRoute)


@router.post(
    "/v1/completions",
    response_model=None,
    responses={200: {"model": Completion, "content": STREAMED}, **described(GENERATES)},
)
@router.post("/completions", response_model=None, include_in_schema=False)
@router.post("/beta/completions", response_model=None, include_in_schema=False)
@router.post("/beta/v1/completions", response_model=None, include_in_schema=False)
async def completions(body: CompletionRequest, request: Request, serving: Served, account: Asking) -> Response:
    """Go on with texts; with `suffix`, write what stands between the two."""
    serving.check_model(body.model)
    body.check()
    params = body.params_for(serving.tokenizer.vocab_size)
    prompts, echoes = await serving.reading.run(account.name, _read, body, serving.tokenizer)
    choices = [
        # the first choice of a prompt reports it for all
        Choice(prompt, dataclasses.replace(one, prompt_logprobs=None if number else one.prompt_logprobs))
        for prompt in prompts
        for number, one in enumerate(of_each(params, body.n or 1))
    ]
    call = await Call.start(serving, take_ticket(request), choices, body.isolation)
    asked = Asked(body, serving, call, echoes)
    if body.stream:
        return EventStream(call, stream(asked))
    return Whole(call, whole(asked), serving.patience)


def _read(body: CompletionRequest, tokenizer: Tokenizer) -> tuple[Sequence[list[int]], Sequence[Echo]]:
    """The token ids of each prompt, and what is told of it before its answers."""
    prompts = prompts_of(body, tokenizer)
    if not body.echo:
        return prompts, []
    scored = body.scores_prompts
    return prompts, [Echo(tokenizer, one, ids, scored) for one, ids in zip(body.prompt, prompts, strict=True)]
