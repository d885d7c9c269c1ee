"""Chat completions, as OpenAI and DeepSeek have them: the request becomes a `ChatCall`, which writes the answer."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from centime.errors import UserError
from centime.serve.api.answer import Answer
from centime.serve.api.call import Choice
from centime.serve.api.chat_call import ChatCall, ChatCompletion
from centime.serve.api.service import CurrentService, Service
from centime.serve.formats import Chat, ChatFormat, Prompt
from centime.serve.http.admission import take_ticket
from centime.serve.http.affordable import lowered_headers
from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import GENERATES, ApiError, error_responses
from centime.serve.http.json_route import JsonRoute
from centime.serve.http.paths import post
from centime.serve.http.responses import STREAMED, answer_of, while_there
from centime.serve.protocol.chat_request import ChatRequest, Message
from centime.serve.protocol.fields import of_each
from centime.serve.protocol.responses.chat_of import chat_of as as_chat
from centime.serve.protocol.responses.chat_of import read_chat
from centime.serve.protocol.responses.responses_call import ResponsesCall
from centime.serve.protocol.responses.responses_request import ResponsesRequest
from centime.serve.protocol.structured_output import grammar_spec_for, holding_field, offered_tools

C = TypeVar("C", bound=ChatCall)
router = APIRouter(tags=["OpenAI and DeepSeek"], route_class=JsonRoute)


@post(
    router,
    "chat",
    response_model=None,
    responses={200: {"model": ChatCompletion, "content": STREAMED}, **error_responses(GENERATES)},
)
async def chat_completions(
    body: ChatRequest, request: Request, service: CurrentService, account: CurrentAccount
) -> Response:
    """Answer a conversation.

    A last assistant turn with `prefix: true` is gone on with. With `stream` the answer comes as server-sent events:
    `: keep-alive` while it waits, reasoning before content, the usage on the last chunk, then `[DONE]`.
    """
    service.check_model(body.model)
    call = await begin_chat(ChatCall, body, service, request)
    return answer_of(call, bool(body.stream), service.patience, lowered_headers(call.lowered))


@post(
    router,
    "responses",
    response_model=None,
    responses={200: {"content": STREAMED}, **error_responses(GENERATES)},
)
async def responses(
    body: ResponsesRequest, request: Request, service: CurrentService, account: CurrentAccount
) -> Response:
    """Answer a conversation, in the words of OpenAI's Responses API. Nothing is kept between requests."""
    service.check_model(body.model)
    chat = read_chat(ChatRequest, as_chat(body))
    call = await begin_chat(ChatCall, chat, service, request)
    return answer_of(ResponsesCall(body, call), bool(body.stream), service.patience)


async def begin_chat(kind: type[C], body: ChatRequest, service: Service, request: Request) -> C:
    """Render, compile what the answer is held to, reserve, submit. Raises what the API tells: see errors.py.

    kind: the call that writes the answer, in one API's words or another's.
    """
    params = body.params(
        service.tokenizer.vocab_size, logprobs=body.reported_logprobs, max_tokens=body.max_completion_tokens
    )
    _check_json_is_asked_for(body)

    tools, grammar, owner = offered_tools(body), None, request.state.account.name
    if tools or body.response_format is not None:
        try:
            spec = await service.reading.run(owner, grammar_spec_for, body, tools, service.format)
            grammar = await while_there(request, service.grammars.obtain(spec, owner)) if spec else None
        except UserError as error:
            raise ApiError(422, str(error), param=holding_field(body, tools)) from None
    prompt = await service.reading.run(owner, prompt_of, service.format, chat_of(body, tools))
    after = service.format.think_end if prompt.start == "reasoning" else None
    choices = [
        Choice(prompt.ids, one, grammar.constraint(after) if grammar else None) for one in of_each(params, body.n or 1)
    ]
    answers = [
        Answer(service.format.parser(prompt, tools=bool(tools)), service.format.think_end) for _ in range(len(choices))
    ]
    call = kind(service, take_ticket(request), body, choices, answers)
    await call.start()
    return call


def chat_of(body: ChatRequest, tools: list[dict[str, Any]]) -> Chat:
    """The conversation as formats take it."""
    turns = body.messages
    prefix: Message | None = None
    if turns[-1].role == "assistant" and turns[-1].prefix:
        turns, prefix = turns[:-1], turns[-1]
    return Chat(
        [message.turn() for message in turns],
        tools,
        body.thinks,
        prefix.content if prefix else None,
        prefix.reasoning_content if prefix else None,
    )


def prompt_of(chat_format: ChatFormat, chat: Chat) -> Prompt:
    """Raises ApiError (400) when the format, or the model folder's template, refuses the messages."""
    try:
        return chat_format.prompt(chat)
    except UserError as error:
        raise ApiError(400, str(error), param="messages") from None


def _check_json_is_asked_for(body: ChatRequest) -> None:
    """DeepSeek's rule: a model that is held to JSON and does not know it writes blanks without end."""
    if body.response_format is None or body.response_format.type != "json_object":
        return
    if not any("json" in (message.content or "").lower() for message in body.messages):
        raise ApiError(
            400,
            "The prompt must contain the word 'json' in some form to use a response_format of type 'json_object'.",
            param="response_format",
        )
