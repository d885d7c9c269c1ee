"""A server with keys, clients that ask it all kinds of things and leave when they like, and faults put into its middle.

The world keeps its own books: what the engine computed for each request, step by step, and what each call was charged.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tests.small import small_config, small_tokenizer

from centime.catalogue.prices import price_given
from centime.catalogue.tariffs import tariff_for
from centime.ledger.served import EngineTotals
from centime.model import Transformer
from centime.serve.accounts import Accounts
from centime.serve.accounts.keys import add_key, list_keys
from centime.serve.accounts.store import Store
from centime.serve.api.app import create_app
from centime.serve.api.call import Call
from centime.serve.api.service import Service
from centime.serve.engine.draws import drawer
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Event, Piece, Request
from centime.serve.engine.settings import EngineSettings
from centime.serve.formats import find_format
from centime.serve.grammar.constraint import GrammarConstraint, Grammars
from centime.serve.http.server import Server, bind, url_of

BUDGET_PICO = {"rich": 10**12, "poor": 2 * 10**8, "slow": 10**10}  # of the keys; `open` has no budget


class Injected(RuntimeError):
    """A fault that the test put in."""


@dataclass
class Faults:
    """How likely each place is to raise, as long as `on`."""

    draw: random.Random
    chance: dict[str, float] = field(default_factory=dict)
    on: bool = True
    raised: Counter[str] = field(default_factory=Counter)

    def at(self, place: str) -> None:
        """Perhaps raises."""
        if self.on and self.draw.random() < self.chance.get(place, 0.0):
            self.raised[place] += 1
            raise Injected(f"injected at {place}")

    def before(self, place: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which now may fail."""

        def faulty(*given: Any, **named: Any) -> Any:
            self.at(place)
            return function(*given, **named)

        return faulty


@dataclass
class Charged:
    """A call as the server ended it."""

    key: str
    reasons: tuple[str, ...]
    pico: int | None  # None: not charged
    prompt_tokens: int  # by its usage
    output_tokens: int
    computed: int  # prompt tokens that were in the cache when it ended, of each prompt once: computed or found
    made: int  # output tokens that the engine handed out


class World:
    """What goes on, and the books of it."""

    def __init__(self, serving: Service, url: str, secrets: dict[str, str], faults: Faults) -> None:
        self.serving, self.url, self.secrets, self.faults = serving, url, secrets, faults
        self.charged: list[Charged] = []
        self.computed: dict[int, int] = defaultdict(int)  # by request: the furthest token that a step computed
        self.made: Counter[int] = Counter()  # by request

    def quiet(self) -> None:
        """Waits until nothing runs any more and nothing is held, with no faults in the way."""
        self.faults.on = False
        store, deadline = Store(self.serving.accounts._store.path), time.monotonic() + 60
        while True:
            stats = self.serving.engine.stats()
            self.serving.accounts.machine_time(EngineTotals(0, 0))  # what had to wait goes in
            running = {key.name: key.running for key in list_keys(store) if key.running}
            over = not self.serving.calls and (stats.failed or not stats.running + stats.waiting)
            if over and not running:
                return
            assert time.monotonic() < deadline, f"still held {running} by {self.serving.calls}, {stats}"
            time.sleep(0.02)

    @contextlib.contextmanager
    def unwritable(self, how: str) -> Iterator[None]:
        """The ledger is locked by another process, or refuses every write as a full disk does."""
        store = self.serving.accounts._store
        store._connection.execute("PRAGMA busy_timeout = 20")
        if how == "full":
            store._connection.execute("PRAGMA query_only = ON")
            yield
            store._connection.execute("PRAGMA query_only = OFF")
            return
        other = sqlite3.connect(store.path, isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
        other.close()


def drafting_model(vocabulary: int, positions: int) -> Transformer:
    """A tiny model that drafts."""
    config = small_config(vocabulary, positions).model_copy(update={"num_nextn_predict_layers": 1})
    with torch.device("cpu"):
        model = Transformer(config)
    model.init_weights(0)
    return model.eval()


@contextlib.contextmanager
def world(home: Path, faults: Faults, **settings: Any) -> Iterator[World]:
    """A running server over a tiny model that drafts, in a cache that is too small for all."""
    tokenizer = small_tokenizer(home / "tokenizer")
    torch.set_num_threads(1)
    ledger = home / "ledger.sqlite"
    store = Store(ledger)
    secrets = {name: add_key(store, name, budget=f"${pico / 1e12:.6f}", concurrency=2 if name == "slow" else None)
               for name, pico in BUDGET_PICO.items()}  # fmt: skip
    secrets["open"] = add_key(store, "open")
    store.close()
    accounts = Accounts(ledger, run="small", tariff=tariff_for("0.1,1,2"), price=price_given("$2/h"))
    options = {"block_tokens": 4, "cache_bytes": 2**17, "step_tokens": 48, "max_running": 5, "max_waiting": 12}
    engine = Engine(drafting_model(tokenizer.vocab_size, 512), tokenizer, EngineSettings(**options | settings))  # type: ignore[arg-type]
    serving = Service(
        engine=engine,
        tokenizer=tokenizer,
        format=find_format(tokenizer, "auto"),
        grammars=Grammars(tokenizer, engine.model.config.vocab_size),
        accounts=accounts,
        names=("small",),
        device="two cores",
        book=ledger,
    )
    listening, ready = bind("127.0.0.1", 0), threading.Event()
    server = Server(create_app(serving), serving, ready.set)
    made = World(serving, url_of(listening), secrets, faults)
    with _watched(made):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(30)
            yield made
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server did not drain"
            accounts.close()


@contextlib.contextmanager
def _watched(made: World) -> Iterator[None]:
    """Puts the faults in, and keeps the books."""
    faults, engine = made.faults, made.serving.engine
    assert isinstance(engine, Engine)
    runner, submit, charge_it = engine.executor.runner, engine.submit, Call._charge_it
    whole_hidden = runner.hidden
    names = {"sample": drawer.sample, "fill": GrammarConstraint.fill, "accept": GrammarConstraint.accept}

    def hidden(spans: Any, tokens: Any) -> Any:
        faults.at("forward")
        found = whole_hidden(spans, tokens)
        for generation in engine.scheduler.running:
            for span in spans:
                if span.table is generation.table:
                    known = min(span.start + span.count, len(generation.tokens))
                    made.computed[generation.request.id] = max(made.computed[generation.request.id], known)
        return found

    def submitted(request: Request) -> None:
        deliver = request.deliver

        def delivered(event: Event) -> None:
            if isinstance(event, Piece):
                made.made[request.id] += len(event.tokens)
                faults.at("deliver")  # never an end: whoever waits for that waits for ever
            deliver(event)

        request.deliver = delivered
        submit(request)

    def charged(call: Call) -> None:
        charge_it(call)
        assert call.usage is not None
        prompts: dict[int, int] = {}
        for request in call._requests:
            known = min(len(request.prompt), made.computed[request.id])
            prompts[id(request.prompt)] = max(prompts.get(id(request.prompt), 0), known)
        made.charged.append(
            Charged(
                call._ticket.account.name,
                tuple(end.reason for end in call._ends.values()),
                None if call.charge is None else call.charge.list_price,
                call.usage.prompt_tokens,
                call.usage.output_tokens,
                sum(prompts.values()),
                sum(made.made[request.id] for request in call._requests),
            )
        )

    runner.hidden = hidden  # type: ignore[method-assign]
    runner.logits = faults.before("logits", runner.logits)  # type: ignore[method-assign]
    engine.scheduler.schedule = faults.before("schedule", engine.scheduler.schedule)  # type: ignore[method-assign]
    engine.submit = submitted  # type: ignore[method-assign]
    Call._charge_it = charged  # type: ignore[method-assign]
    drawer.sample = faults.before("sample", names["sample"])
    GrammarConstraint.fill = faults.before("fill", names["fill"])  # type: ignore[method-assign]
    GrammarConstraint.accept = faults.before("accept", names["accept"])  # type: ignore[method-assign]
    try:
        yield
    finally:
        Call._charge_it = charge_it  # type: ignore[method-assign]
        drawer.sample = names["sample"]
        GrammarConstraint.fill, GrammarConstraint.accept = names["fill"], names["accept"]  # type: ignore[method-assign]
