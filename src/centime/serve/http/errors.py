"""Errors as the API tells them: a status, a sentence, and the body that DeepSeek's or Anthropic's clients expect."""

from __future__ import annotations

import http
from collections.abc import Sequence
from typing import Any, NotRequired

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from centime.errors import UserError
from centime.serve.accounts import Refused
from centime.serve.http.paths import dialect
from centime.serve.http.validation import misfit
from centime.serve.telemetry.exchange import current_exchange
from centime.serve.wording import plain

# status -> (OpenAI's and DeepSeek's `type`, Anthropic's `type`). 402 is "unknown_error" at DeepSeek.
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    402: ("unknown_error", "billing_error"),
    403: ("permission_error", "permission_error"),
    404: ("invalid_request_error", "not_found_error"),
    405: ("invalid_request_error", "invalid_request_error"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "invalid_request_error"),
    422: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_error"),
    500: ("server_error", "api_error"),
    503: ("server_error", "overloaded_error"),
}


class ApiError(Exception):
    """What a client did wrong, or could not get. `retry_after` in seconds goes into the header of that name.

    `message` is one line that may go to any log, whatever text of a client's was put into it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = plain(message)
        super().__init__(self.message)
        self.status, self.param, self.retry_after = status, param, retry_after
        self.code = code or ("server_error" if status >= 500 else "invalid_request_error")

    def body(self, path: str) -> dict[str, Any]:
        """The JSON body for a request to `path`, which is told of it; with the request's id, as Anthropic's has it."""
        number = {}
        if (exchange := current_exchange()) is not None:
            exchange.failed(self.code, self.message)
            number = {"request_id": exchange.request_id}
        ours, theirs = _TYPES.get(self.status, _TYPES[400 if self.status < 500 else 500])
        if dialect(path) == "anthropic":
            return {"type": "error", "error": {"type": theirs, "message": self.for_anthropic}, **number}
        return {"error": {"message": self.message, "type": ours, "param": self.param, "code": self.code}, **number}

    @property
    def for_anthropic(self) -> str:
        """The same sentence where its clients look for other words."""
        return self.message

    def response(self, path: str) -> JSONResponse:
        """The whole answer for a request to `path`."""
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after)))}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(path), self.status, headers)


class PromptTooLong(ApiError):
    """A prompt that leaves no room for an answer: clients shorten the conversation when they read these words."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__(
            400,
            f"The prompt is {tokens:,} tokens long; this model's maximum context length is {context:,} tokens, one of "
            "which the answer needs. Shorten it.",
            code="context_length_exceeded",
        )
        self._tokens, self._most = tokens, context - 1

    @property
    def for_anthropic(self) -> str:
        """Anthropic's own words, after which Claude Code compacts."""
        return f"prompt is too long: {self._tokens} tokens > {self._most} maximum"


class ErrorDetail(TypedDict):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """The body of every answer that is an error."""

    error: ErrorDetail
    request_id: NotRequired[str]


class AnthropicErrorDetail(TypedDict):
    """What went wrong, in Anthropic's words."""

    type: str
    message: str


class AnthropicErrorBody(TypedDict):
    """The body of every answer of the Anthropic endpoints that is an error."""

    type: str
    error: AnthropicErrorDetail
    request_id: NotRequired[str]


def error_responses(statuses: Sequence[int], body: type[Any] = ErrorBody) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses, for the OpenAPI description.

    The first names the model and the others refer to it: FastAPI builds a validator for every model that is named, and
    those of errors, which validate nothing, took most of a server's start.
    """
    reference = {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
    described = {status: {"description": http.HTTPStatus(status).phrase} for status in statuses}
    first, *others = statuses
    named: dict[int | str, dict[str, Any]] = {first: {"model": body, **described[first]}}
    return named | {status: {**described[status], "content": {"application/json": reference}} for status in others}


GENERATES = (400, 401, 402, 404, 422, 429, 500, 503)  # what a route that runs the model may answer besides 200


def as_api_error(error: ApiError | Refused) -> ApiError:
    """What the accounts refused, in the API's words."""
    if isinstance(error, ApiError):
        return error
    return ApiError(error.status, error.message, code=error.code, retry_after=error.retry_after)


def invalid(error: RequestValidationError) -> ApiError:
    """A body that does not fit the description: 400 where its form is wrong, 422 where a value is out of range."""
    status, message, param, code = misfit(error.errors(), error.body)
    return ApiError(status, message, param=param, code=code)


def install_handlers(app: FastAPI) -> None:
    """Makes every error of the app a body as above."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error.response(request.url.path)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return as_api_error(error).response(request.url.path)

    @app.exception_handler(UserError)
    async def mendable(request: Request, error: UserError) -> JSONResponse:
        return ApiError(422, str(error)).response(request.url.path)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return invalid(error).response(request.url.path)

    @app.exception_handler(HTTPException)
    async def routed(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path
        said = {
            400: "The body cannot be read as JSON in UTF-8.",
            404: f"There is nothing at {plain(path, 100)}.",
            405: f"{plain(path, 100)} takes another method than {plain(request.method, 20)}.",
        }
        response = ApiError(error.status_code, said.get(error.status_code, str(error.detail))).response(path)
        response.headers.update(error.headers or {})  # 405 says in Allow which methods it takes
        return response
