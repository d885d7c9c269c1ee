"""The one reading of a request's body, for both applications: bytes become a JSON object, or a sentence says why not.

What comes out of it can be written again: finite numbers, whole characters, no deeper than `MAX_DEPTH`. So nothing that
walks a body later, here or at an upstream, meets a value that this reader let pass and another one does not.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from centime.json_files import ESCAPE, deeper_than
from centime.serve.api.errors import ApiError
from centime.serve.api.fair_pool import FairPool

T = TypeVar("T")
R = TypeVar("R")
MAX_DEPTH = 100  # of objects and lists in one another: people's schemas have ten or twenty, and readers recurse
APART = 2**15  # bytes from which on a body is read in a thread, beside everybody else's events
# Objects and lists in one body: a turn is one or two, a tool a few dozen. Python holds its lock while it reads them and
# while it looks for garbage among them, half a microsecond each; everybody else waits.
MAX_CONTAINERS = 2**17
JSON_TYPES = {dict: "object", list: "list", str: "string", int: "number", float: "number", bool: "boolean"}

# A text in JSON, which is passed over, or what opens an object or a list.
_OPENING = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]', re.S)
_bodies = FairPool(2, "centime-bodies")


class Unreadable(ValueError):
    """Bytes that are no JSON; the message is a sentence's end: what they are instead."""


def read_json(raw: bytes | bytearray, *, finite: bool = True) -> Any:
    """The value that JSON in UTF-8 stands for. Raises Unreadable.

    A byte order mark before it, which editors leave, is passed over. Numbers are finite, but in answers that are passed
    on (finite=False), where engines write NaN for a probability. Half of a surrogate pair becomes U+FFFD, as it does
    wherever text is cut in two; of a name that comes twice in an object the last counts; lists and objects are nested
    no deeper than `MAX_DEPTH`.
    """
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"no JSON in UTF-8: its byte {error.start} belongs to no character") from None
    if "\\ud" in text or "\\uD" in text:
        text = ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    opened = _opened(text)
    if finite and opened > MAX_CONTAINERS:
        raise Unreadable(f"no JSON that can be read: it has {opened:,} objects and lists, more than {MAX_CONTAINERS:,}")
    try:
        value = json.loads(text, parse_constant=_not_a_number, parse_float=_finite) if finite else json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    except Unreadable:
        raise
    except ValueError:  # of int(): Python reads no longer ones
        raise Unreadable("no JSON that can be read: a number has more than 4,300 digits") from None
    if opened > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _opened(text: str) -> int:
    """Objects and lists that a JSON text opens, or a number between that and MAX_CONTAINERS."""
    every = text.count("[") + text.count("{")
    if every <= MAX_CONTAINERS:
        return every
    return sum(1 for found in _OPENING.finditer(text) if found[0][0] != '"')


def _not_a_number(name: str) -> NoReturn:
    raise Unreadable(f"no JSON: JSON has no {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Unreadable(f"no JSON that can be read: the number {digits[:40]} is too large")
    return number


def _too_deep() -> Unreadable:
    return Unreadable(
        f"no JSON that can be read: nested too deeply, more than {MAX_DEPTH} objects and lists in one another"
    )


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
            except Unreadable as error:
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
