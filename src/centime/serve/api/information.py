"""What needs no answer of the model: models, tokens of a text, health, metrics."""

from __future__ import annotations

import functools
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import AliasChoices, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from centime.serve.api.chat import chat_of, prompt_of
from centime.serve.api.service import CurrentService, Service
from centime.serve.http.auth import CurrentAccount
from centime.serve.http.errors import error_responses
from centime.serve.http.json_route import JsonRoute
from centime.serve.http.validation import FORM
from centime.serve.protocol.chat_request import ChatRequest, Message
from centime.serve.protocol.completion_request import begun
from centime.serve.protocol.fields import Body

router = APIRouter(tags=["Information"], route_class=JsonRoute)


class ModelBody(TypedDict):
    """A model; the fields after the first four are those of DeepSeek's newer API."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    context_window: int
    max_output_tokens: int
    input_modalities: list[str]
    output_modalities: list[str]


class ModelList(TypedDict):
    """All names of the model that is served."""

    object: Literal["list"]
    data: list[ModelBody]


class TokenizeRequest(Body):
    """A text, or a conversation as the model would read it."""

    model: str | None = None
    prompt: str | None = Field(None, validation_alias=AliasChoices("prompt", "text"))
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)] | None = None
    add_special_tokens: bool = Field(True, description="Put the begin-of-sentence token before a text.")

    @model_validator(mode="after")
    def is_one_of_two(self) -> TokenizeRequest:
        """A text or a chat."""
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError(FORM, "give either a prompt or messages")
        return self


class TokenList(TypedDict):
    """The ids of a text. max_model_len: the tokens of prompt and answer that the model has room for."""

    tokens: list[int]
    count: int
    max_model_len: int


class Health(TypedDict):
    """What the server does now."""

    status: Literal["ok", "draining", "failed"]
    model: str
    running: int
    waiting: int


def _model(service: Service, name: str) -> ModelBody:
    context = service.engine.context
    return {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": "centime",
        "name": name,
        "context_window": context,
        "max_output_tokens": context - 1,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
    }


@router.get("/v1/models", responses=error_responses((401,)))
@router.get("/models", include_in_schema=False)
async def models(service: CurrentService, account: CurrentAccount) -> ModelList:
    """The model that is served, by each of its names."""
    return {"object": "list", "data": [_model(service, name) for name in service.names]}


@router.get("/v1/models/{name:path}", responses=error_responses((401, 404)))
@router.get("/models/{name:path}", include_in_schema=False)
async def model(name: str, service: CurrentService, account: CurrentAccount) -> ModelBody:
    """One of them."""
    service.check_model(name)
    return _model(service, name)


@router.post("/tokenize", responses=error_responses((400, 401, 404, 422)))
async def tokenize(body: TokenizeRequest, service: CurrentService, account: CurrentAccount) -> TokenList:
    """The token ids of a text, or of a chat up to where the answer begins."""
    if body.model is not None:
        service.check_model(body.model)
    if body.messages is not None:
        chat = chat_of(ChatRequest(model="", messages=body.messages), [])
        ids = (await service.reading.run(account.name, prompt_of, service.format, chat)).ids
    else:
        text, tokenizer = body.prompt or "", service.tokenizer
        encode = functools.partial(begun, tokenizer) if body.add_special_tokens else tokenizer.encode
        ids = await service.reading.run(account.name, encode, text)
    return {"tokens": ids, "count": len(ids), "max_model_len": service.engine.context}


@router.get(
    "/health",
    responses={503: {"model": Health, "description": "The server is shutting down, or its engine has failed."}},
)
async def health(service: CurrentService) -> JSONResponse:
    """200 while the server takes requests."""
    stats = service.engine.stats()
    health: Health = {
        "status": "failed" if stats.failed else "draining" if service.draining else "ok",
        "model": service.names[0],
        "running": stats.running,
        "waiting": stats.waiting,
    }
    return JSONResponse(health, 200 if health["status"] == "ok" else 503)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(service: CurrentService) -> Response:
    """The counters for Prometheus. They need no key: they tell how much is served, not to whom."""
    return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)
