"""What every route of the API shares: the engine, the tokenizer, the names the model goes by."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from centime.serve.fair_pool import FairPool
from centime.serve.http.errors import ApiError
from centime.serve.http.metrics import EngineMetrics
from centime.serve.http.state import ServerState

if TYPE_CHECKING:
    from centime.catalogue.prices import Price
    from centime.data.tokenizers import Tokenizer
    from centime.serve.engine.client import EngineClient
    from centime.serve.formats import ChatFormat
    from centime.serve.grammar.constraint import Grammars


@dataclass(kw_only=True)
class Service(ServerState):
    """One model behind the API. `names`: what clients may call it, the first being its own.

    device, devices, price: what it runs on, how many of them, and an hour of one, for the page.
    """

    engine: EngineClient
    tokenizer: Tokenizer
    format: ChatFormat
    grammars: Grammars
    names: tuple[str, ...]
    device: str
    devices: int = 1
    price: Price | None = None
    created: int = field(default_factory=lambda: int(time.time()))
    reading: FairPool = field(default_factory=lambda: FairPool(2, "centime-reading"))  # renders and tokenizes

    def __post_init__(self) -> None:
        self.metrics = EngineMetrics(self.engine.stats, self.names[0], self.price, self.devices)

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


async def service_of(request: Request) -> Service:
    """What `create_app` was given."""
    found: Service = request.app.state.server
    return found


CurrentService = Annotated[Service, Depends(service_of)]
