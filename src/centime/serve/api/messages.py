"""Anthropic's Messages API over the same engine, keys and prices."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from typing_extensions import TypedDict

from centime.serve.api.chat import begin_chat, chat_of, prompt_of
from centime.serve.api.messages_call import AnthropicMessage, MessagesCall
from centime.serve.api.service import CurrentService, Service
from centime.serve.http.affordable import lowered_headers
from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import GENERATES, AnthropicErrorBody, error_responses
from centime.serve.http.json_route import JsonRoute
from centime.serve.http.paths import post
from centime.serve.http.responses import STREAMED, answer_of
from centime.serve.protocol.messages_request import CountRequest, MessagesRequest, as_chat_request
from centime.serve.protocol.structured_output import offered_tools

router = APIRouter(tags=["Anthropic"], route_class=JsonRoute)


class TokenCount(TypedDict):
    """Tokens of a conversation."""

    input_tokens: int


@post(
    router,
    "messages",
    response_model=None,
    responses={
        200: {"model": AnthropicMessage, "content": STREAMED},
        **error_responses([status for status in GENERATES if status != 404], AnthropicErrorBody),
    },
)
async def messages(
    body: MessagesRequest, request: Request, service: CurrentService, account: CurrentAccount
) -> Response:
    """Answer a conversation. Names that begin with 'claude' mean the model that is served."""
    _check_model(service, body.model)
    call = await begin_chat(MessagesCall, as_chat_request(body), service, request)
    return answer_of(call, bool(body.stream), service.patience, lowered_headers(call.lowered))


@post(router, "count_tokens", responses=error_responses((400, 401, 422), AnthropicErrorBody))
async def count_tokens(body: CountRequest, service: CurrentService, account: CurrentAccount) -> TokenCount:
    """How many tokens the model would read."""
    _check_model(service, body.model)
    chat = as_chat_request(body)
    prompt = await service.reading.run(account.name, prompt_of, service.format, chat_of(chat, offered_tools(chat)))
    return {"input_tokens": len(prompt.ids)}


def _check_model(service: Service, name: str) -> None:
    """DeepSeek maps Anthropic's names to its own models, and answers 400 for any other name."""
    if not name.startswith("claude"):
        service.check_model(name, 400)
