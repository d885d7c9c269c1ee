"""Whose request it is, by the key it carries; and which addresses are this machine's own, where no key is needed."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from centime.serve.accounts import Account
from centime.serve.http.state import CurrentServer

_bearer = HTTPBearer(auto_error=False, description="An API key: 'Authorization: Bearer sk-...'.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="The same key, as Anthropic's clients send it.")


def secret_of(connection: HTTPConnection) -> str | None:
    """The key that a request carries, under either of its headers."""
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" and bearer else connection.headers.get("x-api-key")


async def account_of(
    request: Request,
    server: CurrentServer,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Account:
    """Whose request this is, as admission.py found out before the body was read. Raises Refused (401)."""
    admitted: Account | None = request.scope.get("state", {}).get("account")
    if admitted is not None:
        return admitted
    return await asyncio.to_thread(server.accounts.authenticate, secret_of(request))


def is_administrator(sent: str | None, admin_key: str | None) -> bool:
    """Whether a key is the administrator's."""
    return admin_key is not None and hmac.compare_digest((sent or "").encode("utf-8", "replace"), admin_key.encode())


def viewer_of(admin_key: str | None) -> Callable[..., Awaitable[Account]]:
    """The dependency of what is only looked at: the administrator sees what nobody's key sees, all of it."""

    async def viewer(
        request: Request,
        server: CurrentServer,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        header: Annotated[str | None, Security(_header)],
    ) -> Account:
        if is_administrator(secret_of(request), admin_key):
            return Account("", None, None, None, None)
        return await account_of(request, server, bearer, header)

    return viewer


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine, whatever the network."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


CurrentAccount = Annotated[Account, Depends(account_of)]
