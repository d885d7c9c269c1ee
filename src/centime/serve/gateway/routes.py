"""The routes that ask the upstream something: answers, which are charged, and counts of tokens, which are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.requests import Request

from centime.serve.gateway.forwarded_call import ForwardedCall
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.inbound import (
    ChatBody,
    CompletionBody,
    EmbeddingsBody,
    MessagesBody,
    QuestionBody,
    parse_inbound,
)
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.gateway.upstreams.routing import at_random
from centime.serve.http.admission import take_ticket
from centime.serve.http.affordable import lowered_headers
from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import GENERATES, AnthropicErrorBody, error_responses
from centime.serve.http.json_route import JsonRoute, sent_object
from centime.serve.http.paths import Kind, dialect, paths_of, post
from centime.serve.http.responses import answer_of, as_json
from centime.serve.protocol.fields import Body
from centime.serve.protocol.responses.chat_of import chat_of, read_chat
from centime.serve.protocol.responses.responses_call import ResponsesCall
from centime.serve.protocol.responses.responses_request import ResponsesRequest


def passing_routes(gateway: Gateway) -> APIRouter:
    """All paths that our own server has, and those for embeddings."""
    router = APIRouter(route_class=JsonRoute, tags=["Passed on"])

    def add(kind: Kind, route: Callable[..., Any], summary: str) -> None:
        body = {} if dialect(paths_of(kind)[0]) == "openai" else {"body": AnthropicErrorBody}
        responses = error_responses((*GENERATES, 415), **body)
        post(router, kind, summary=summary, response_model=None, responses=responses)(route)

    async def pass_on(kind: Kind, read: Body, request: Request) -> Response:
        inbound = parse_inbound(kind, read, sent_object(request), len(await request.body()))
        call = await ForwardedCall.start(gateway, take_ticket(request), inbound)
        return answer_of(call, inbound.stream, gateway.patience, lowered_headers(call.lowered))

    def question(request: Request) -> tuple[Backend, dict[str, Any]]:
        """Whom to ask, and what, for a count: the first server of the model's that is there."""
        asked = sent_object(request)
        target = gateway.pool.routes.find(asked.get("model")).order(at_random)[0]
        return target.backend, asked if target.model is None else {**asked, "model": target.model}

    async def chat(body: ChatBody, request: Request, account: CurrentAccount) -> Response:
        return await pass_on("chat", body, request)

    async def completions(body: CompletionBody, request: Request, account: CurrentAccount) -> Response:
        return await pass_on("completions", body, request)

    async def messages(body: MessagesBody, request: Request, account: CurrentAccount) -> Response:
        return await pass_on("messages", body, request)

    async def responses(body: ResponsesRequest, request: Request, account: CurrentAccount) -> Response:
        asked = chat_of(body)
        size = max(len(await request.body()), len(as_json(asked)))
        inbound = parse_inbound("chat", read_chat(ChatBody, asked), asked, size)
        call = await ForwardedCall.start(gateway, take_ticket(request), inbound)
        return answer_of(ResponsesCall(body, call), inbound.stream, gateway.patience)

    async def embeddings(body: EmbeddingsBody, request: Request, account: CurrentAccount) -> Response:
        return await pass_on("embeddings", body, request)

    async def count_tokens(body: QuestionBody, request: Request, account: CurrentAccount) -> Response:
        backend, asked = question(request)
        counted = await backend.upstream.count_tokens(asked, backend.facts)
        return Response(as_json(counted), media_type="application/json")

    async def tokenize(body: QuestionBody, request: Request, account: CurrentAccount) -> Response:
        backend, asked = question(request)
        counted = await backend.upstream.tokenize(asked, backend.facts)
        return Response(as_json(counted), media_type="application/json")

    add("chat", chat, "Answer a conversation.")
    add("completions", completions, "Go on with a text.")
    add("responses", responses, "Answer a conversation, in the words of OpenAI's Responses API; nothing is kept.")
    add("messages", messages, "Answer a conversation, in Anthropic's words.")
    add("embeddings", embeddings, "Embed texts.")
    add("count_tokens", count_tokens, "How many tokens the model would read.")
    add("tokenize", tokenize, "The tokens of a text or of a conversation, where the upstream tells them.")
    return router
