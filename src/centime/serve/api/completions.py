"""Text completions, and fill-in-the-middle where a `suffix` is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response

from centime.serve.api.call import Choice
from centime.serve.api.completion_call import Completion, CompletionCall
from centime.serve.api.echo import Echo
from centime.serve.api.service import CurrentService
from centime.serve.http.admission import take_ticket
from centime.serve.http.affordable import lowered_headers
from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import GENERATES, error_responses
from centime.serve.http.json_route import JsonRoute
from centime.serve.http.paths import post
from centime.serve.http.responses import STREAMED, answer_of
from centime.serve.protocol.completion_request import CompletionRequest, prompts_of
from centime.serve.protocol.fields import of_each

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

router = APIRouter(tags=["OpenAI and DeepSeek"], route_class=JsonRoute)


@post(
    router,
    "completions",
    response_model=None,
    responses={200: {"model": Completion, "content": STREAMED}, **error_responses(GENERATES)},
)
async def completions(
    body: CompletionRequest, request: Request, service: CurrentService, account: CurrentAccount
) -> Response:
    """Go on with texts; with `suffix`, write what stands between the two."""
    service.check_model(body.model)
    body.check()
    params = body.params_for(service.tokenizer.vocab_size)
    prompts, echoes = await service.reading.run(account.name, _read, body, service.tokenizer)
    choices = [
        # the first choice of a prompt reports it for all
        Choice(prompt, dataclasses.replace(one, prompt_logprobs=None if number else one.prompt_logprobs))
        for prompt in prompts
        for number, one in enumerate(of_each(params, body.n or 1))
    ]
    call = CompletionCall(service, take_ticket(request), body, choices, echoes)
    await call.start()
    return answer_of(call, bool(body.stream), service.patience, lowered_headers(call.lowered))


def _read(body: CompletionRequest, tokenizer: Tokenizer) -> tuple[Sequence[list[int]], Sequence[Echo]]:
    """The token ids of each prompt, and what is told of it before its answers."""
    prompts = prompts_of(body, tokenizer)
    if not body.echo:
        return prompts, []
    scored = body.scores_prompts
    return prompts, [Echo(tokenizer, one, ids, scored) for one, ids in zip(body.prompt, prompts, strict=True)]
