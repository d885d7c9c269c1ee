"""A real server on a free port, in a thread of the test's process, over a tiny model."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tests.small import small_model, small_tokenizer

from centime.catalogue.prices import price_given
from centime.catalogue.tariffs import tariff_for
from centime.serve.accounts import Accounts
from centime.serve.api.app import create_app
from centime.serve.api.service import Service
from centime.serve.engine.engine import Engine
from centime.serve.engine.settings import EngineSettings
from centime.serve.formats import find_format
from centime.serve.grammar.constraint import Grammars
from centime.serve.http.server import Server, bind, url_of

PRICE = price_given("$2/h")
POSITIONS = 2048
PRICES = "0.1,1,2"  # per million tokens: hit, miss, output


@contextlib.contextmanager
def running(
    home: Path,
    *,
    chat_format: str = "auto",
    patience: float = 10.0,
    prices: str | None = PRICES,
    positions: int = POSITIONS,
    mtp: int = 0,
    origins: Sequence[str] = (),
    **settings: Any,
) -> Iterator[tuple[str, Service]]:
    """The server's URL and what it shares, until the block ends; its ledger is in `home`. mtp: modules that guess."""
    tokenizer = small_tokenizer(home / "tokenizer")
    model = small_model(tokenizer, positions, mtp=mtp)
    torch.set_num_threads(1)
    accounts = Accounts(
        home / "ledger.sqlite",
        run="small",
        tariff=tariff_for(prices) if prices else None,
        price=PRICE,
    )
    serving = Service(
        engine=Engine(model, tokenizer, EngineSettings(cache_bytes=2**24, check=True, **settings)),
        tokenizer=tokenizer,
        format=find_format(tokenizer, chat_format),
        grammars=Grammars(tokenizer, model.config.vocab_size),
        accounts=accounts,
        names=("small", "deepseek-chat"),
        device="two cores",
        price=PRICE,
        book=home / "ledger.sqlite",
        patience=patience,
    )
    listening, ready = bind("127.0.0.1", 0), threading.Event()
    server = Server(create_app(serving, origins), serving, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert ready.wait(30), "the server did not start"
        yield url_of(listening), serving
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not drain"
        accounts.close()
