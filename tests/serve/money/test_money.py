"""Money adds up: whatever clients ask, whenever they leave, whatever fails, whatever the ledger does meanwhile.

What clients are told = what is on the bill = what the balances lost, to the last unit; nothing stays reserved; what
failed costs nothing, and what was aborted no more than was computed for it.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.serve.money.clients import Clients
from tests.serve.money.world import BUDGET_PICO, Faults, World, world

from centime.ledger import Book
from centime.ledger.serving import serving_bill
from centime.serve.accounts.keys import list_keys
from centime.serve.accounts.store import Store

PLACES = ("forward", "logits", "sample", "fill", "accept", "deliver")


def faults_of(draw: random.Random) -> Faults:
    """Some places that fail now and then; sometimes the engine's own books, which ends it for good."""
    chance = {place: draw.choice([0.0, 0.0, 0.02, 0.1]) for place in PLACES}
    if draw.random() < 0.15:
        chance["schedule"] = 0.01
    return Faults(random.Random(draw.random()), chance)


def trouble(seed: int, made: World, over: threading.Event) -> None:
    """The ledger cannot be written, now and then, for a moment."""
    draw = random.Random(f"trouble {seed}")
    while not over.wait(draw.uniform(0.2, 1.5)):
        with made.unwritable(draw.choice(["locked", "full"])):
            time.sleep(draw.uniform(0.01, 0.3))


def adds_up(made: World, clients: Clients, path: Path) -> None:
    """The books of clients, server, bill, balances and engine agree."""
    charged, told = Counter[str](), Counter[tuple[str, int]]()
    for call in made.charged:
        charged[call.key] += call.pico or 0
        if "failed" in call.reasons:
            assert call.pico is None, call
        else:
            assert call.prompt_tokens <= call.computed, call  # what was found in the cache is in it too
            assert call.output_tokens <= call.made + (call.reasons.count("aborted")), call
    with Book(path) as book:
        bill = serving_bill(book.served(), book.engine_hours(), [], None)
    billed = Counter({line.key: line.list_pico for line in bill.lines}) if bill is not None else Counter[str]()
    assert +billed == +charged
    for key in list_keys(Store(path)):
        assert (key.running, key.held) == (0, 0), key
        if key.balance is not None:
            assert key.balance == BUDGET_PICO[key.name] - charged[key.name]
            assert key.balance >= 0
    known = Counter((call.key, call.pico) for call in made.charged if call.pico is not None)
    told.update((one.key, one.pico) for one in clients.told if one.pico is not None)
    assert told <= known, told - known  # nobody was told of a charge that is not on the bill
    left = sum(one.left for one in clients.told)
    assert sum(known.values()) - sum(told.values()) <= left  # and who heard the end was told
    requests = sqlite3.connect(path).execute("SELECT coalesce(sum(requests), 0) FROM served").fetchone()[0]
    assert requests == sum(known.values())


def scenario(seed: int, home: Path, *, threads: int, each: int) -> tuple[World, Clients]:
    """One server, until all its clients are done."""
    draw = random.Random(seed)
    with world(home, faults_of(draw)) as made:
        clients, over = Clients(made.url, made.secrets, seed), threading.Event()
        disturbing = threading.Thread(target=trouble, args=(seed, made, over))
        disturbing.start()
        clients.run(threads, each)
        over.set()
        disturbing.join()
        made.quiet()
        adds_up(made, clients, home / "ledger.sqlite")
    return made, clients


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_money_adds_up(seed: int, tmp_path: Path) -> None:
    _, clients = scenario(seed, tmp_path, threads=5, each=5)
    assert any(one.status is not None for one in clients.told)


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 250, 25))
def test_money_adds_up_in_many_worlds(first: int, tmp_path: Path) -> None:
    raised, statuses = Counter[str](), Counter[int | None]()
    for seed in range(first, first + 25):
        made, clients = scenario(seed, tmp_path / str(seed), threads=6, each=8)
        raised += made.faults.raised
        statuses.update(one.status for one in clients.told)
    assert all(raised[place] for place in PLACES), raised  # every kind of fault has happened
    assert {200, 402, 500, 503} <= set(statuses), statuses
