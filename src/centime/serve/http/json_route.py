"""Routes whose body is one JSON object, read and checked before FastAPI sees it, a large one in a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from centime.serve.fair_pool import FairPool
from centime.serve.http.errors import ApiError
from centime.serve.json_body import JSON_TYPES, UnreadableJson, read_json

T = TypeVar("T")
R = TypeVar("R")
APART = 2**15  # bytes from which on a body is read in a thread, beside everybody else's events
_bodies = FairPool(2, "centime-bodies")


def check_type(request: Request) -> None:
    """Raises ApiError (415) for a body that does not say it is JSON.

    Pages of other origins may send forms and plain text without asking first; JSON they may not, so that no page that
    is open in a browser can have a server work, or spend, by sending it something.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        what = f"of type {kind[:100]!r}" if kind else "without a type"
        raise ApiError(415, f"The body came {what}; send Content-Type: application/json.")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise ApiError(415, f"The body came in the encoding {coding[:100]!r}; send it as it is, in UTF-8.")


class JsonRequest(Request):
    """A request whose JSON is an object, read by `read_json`."""

    async def apart(self, work: Callable[[T], R], given: T) -> R:
        """What `work` makes of the body, or of what it holds; a large one's in a thread, each account's in turn."""
        if len(await self.body()) <= APART:
            return work(given)
        account = self.scope.get("state", {}).get("account")
        return await _bodies.run(account.name if account is not None else "", work, given)

    async def json(self) -> Any:
        """Raises ApiError: 415 for another type, 400 for what is no JSON object."""
        if not hasattr(self, "_json"):
            check_type(self)
            try:
                raw = await self.body()
            except ClientDisconnect:
                raise ApiError(400, "The client left before its body had come.") from None
            if not raw.strip():
                raise ApiError(400, "The body is empty; send a JSON object.")
            try:
                found = await self.apart(read_json, raw)
            except UnreadableJson as error:
                raise ApiError(400, f"The body is {error}.") from None
            if not isinstance(found, dict):
                kind = JSON_TYPES.get(type(found), "null")
                raise ApiError(400, f"The body is a JSON {kind}; expected an object.")
            self._json = found
        return self._json


def sent_object(request: Request) -> dict[str, Any]:
    """The body of a request to a `JsonRoute` as it came, whatever fields the route's model takes of it."""
    sent: dict[str, Any] = request.state.sent
    return sent


class JsonRoute(APIRoute):
    """A route of either application: what it takes as its body has been read by `JsonRequest`, and checked there.

    FastAPI checks a body in the event loop, a hundred thousand turns for two seconds; one that is a model already it
    takes as it is.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, which finds the body read; where it cannot be, the error tells why, not FastAPI's."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        model = self.body_field.field_info.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{self.path} takes {model}; a route here takes one model of its body")

        def checked(body: Any) -> BaseModel:
            try:
                return model.model_validate(body)
            except ValidationError as error:
                problems = error.errors(include_url=False)
                raise RequestValidationError(
                    [{**problem, "loc": ("body", *problem["loc"])} for problem in problems], body=body
                ) from None

        async def read_first(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            request.state.sent = sent = await request.json()
            request._json = await request.apart(checked, sent)
            return await handle(request)

        return read_first
