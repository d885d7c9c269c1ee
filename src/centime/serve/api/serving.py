"""What every route shares: the engine, the tokenizer, the accounts, the names the model goes by."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from centime.serve.accounts import Account, Accounts
from centime.serve.api.errors import ApiError
from centime.serve.api.fair_pool import FairPool
from centime.serve.api.metrics import Metrics
from centime.serve.api.respond import Abortable
from centime.serve.api.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from centime.catalogue.prices import Price
    from centime.data.tokenizers import Tokenizer
    from centime.serve.api.formats import Format
    from centime.serve.engine.face import EngineFace
    from centime.serve.engine.grammar import Grammars


@dataclass
class Serving:
    """One model behind the API. `names`: what clients may call it, the first being its own.

    device, devices, price: what it runs on, how many of them, and an hour of one, for the page; book: the ledger's
    file, None for the person's own. patience: seconds a client waits before it hears that the connection is alive.
    """

    engine: EngineFace
    tokenizer: Tokenizer
    format: Format
    grammars: Grammars
    accounts: Accounts
    names: tuple[str, ...]
    device: str
    devices: int = 1
    price: Price | None = None
    book: Path | None = None
    patience: float = 10.0
    created: int = field(default_factory=lambda: int(time.time()))
    metrics: Metrics = field(init=False)
    calls: set[Abortable] = field(default_factory=set)  # those that are not settled
    draining: bool = False
    tally: Tally = field(default_factory=Tally)
    reading: FairPool = field(default_factory=lambda: FairPool(2, "centime-reading"))  # renders and tokenizes

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.engine.stats)

    @cached_property  # every chunk of every stream carries it
    def fingerprint(self) -> str:
        """Changes when the same request with the same seed may get another answer: `system_fingerprint`."""
        from centime import __version__

        return f"fp_{hashlib.sha256(f'{__version__} {self.names[0]} {self.created}'.encode()).hexdigest()[:12]}"

    def stop(self) -> None:
        """Ends the engine at once, and the processes that compile grammars."""
        self.engine.stop()
        self.grammars.close()

    def check_model(self, name: str, status: int = 404) -> None:
        """Raises ApiError when the model that is served does not go by this name."""
        if name not in self.names:
            known = ", ".join(repr(one) for one in self.names)
            raise ApiError(
                status,
                f"The model {name!r} does not exist here; this server has {known}.",
                param="model",
                code="model_not_found",
            )


def serving_of(request: Request) -> Serving:
    """What `create_app` was given."""
    found: Serving = request.app.state.serving
    return found


_bearer = HTTPBearer(auto_error=False, description="An API key: 'Authorization: Bearer sk-...'.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="The same key, as Anthropic's clients send it.")


def secret_of(connection: HTTPConnection) -> str | None:
    """The key that a request carries, under either of its headers."""
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" and bearer else connection.headers.get("x-api-key")


def account_of(
    request: Request,
    serving: Annotated[Serving, Depends(serving_of)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Account:
    """Whose request this is, as admission.py found out before the body was read. Raises Refused (401)."""
    admitted: Account | None = request.scope.get("state", {}).get("account")
    return admitted or serving.accounts.authenticate(secret_of(request))


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine, whatever the network."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Served = Annotated[Serving, Depends(serving_of)]
Asking = Annotated[Account, Depends(account_of)]
