"""Threads and processes that spend one balance at once, and are killed: no charge is lost and nothing overspent."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.accounts.made import DOLLAR, Use, flat, keyed

from centime.ledger.served import served_rows
from centime.serve.accounts import Account, Accounts, Refused
from centime.serve.accounts.keys import add_key, list_keys
from centime.serve.accounts.store import Store

Ask = tuple[int, int, float, float]  # prompt tokens, max_tokens, share of the prompt hit, share of the output made


def serve(accounts: Accounts, account: Account, asks: list[Ask], spent: list[int]) -> None:
    """Make requests; what each was charged goes to `spent`. Balance and reservations must hold at every moment."""
    for prompt, most, hit, made in asks:
        try:
            ticket = accounts.admit(account, prompt_tokens=prompt, max_tokens=most)
        except Refused:
            continue
        balance = accounts.balance(account)
        assert balance.left is not None
        assert 0 <= balance.held <= balance.left
        if made == 0:
            ticket.release()
        else:
            use = Use(prompt, int(prompt * hit), int(most * made))
            spent.append(ticket.settle(use).list_price)


ASKS = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ASKS, min_size=2, max_size=4), st.integers(1, 4000))
def test_threads_side_by_side_cannot_overspend(
    tmp_path_factory: pytest.TempPathFactory, each: list[list[Ask]], micros: int
) -> None:
    path = tmp_path_factory.mktemp("threads") / "ledger.sqlite"
    accounts, account = keyed(path, budget=f"${micros / 1e6:.6f}")
    second = Accounts(path)  # as another server would
    spent: list[int] = []
    failed: list[BaseException] = []

    def work(number: int, asks: list[Ask]) -> None:
        try:
            serve((accounts, second)[number % 2], account, asks, spent)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number, asks)) for number, asks in enumerate(each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    left = accounts.balance(account)
    assert left.left == micros * 10**6 - sum(spent) >= 0
    assert left.held == 0
    rows = served_rows(sqlite3.connect(path))
    assert sum(row.list_pico for row in rows) == sum(spent)
    assert sum(row.requests for row in rows) == len(spent)


CLIENT = """
import random, sys
sys.path.insert(0, sys.argv[4])
from pathlib import Path
from tests.serve.accounts.made import Use
from centime.serve.accounts import Accounts, Refused
accounts = Accounts(Path(sys.argv[1]), run="tiny")
account = accounts.authenticate(sys.argv[2])
draw = random.Random(int(sys.argv[3]))
print("up", flush=True)
sys.stdin.readline()
while True:
    prompt, most = draw.randint(1, 300), draw.randint(1, 300)
    try:
        ticket = accounts.admit(account, prompt_tokens=prompt, max_tokens=most)
    except Refused:
        break
    made = draw.randint(0, most)
    charge = ticket.settle(Use(prompt, draw.randint(0, prompt), made))
    print(charge.list_price, flush=True)
"""


def client(path: Path, secret: str, seed: int, root: Path) -> subprocess.Popen[str]:
    """A process that asks until it is refused, and prints each charge once `settle` has returned."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(path), secret, str(seed), str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def charges(process: subprocess.Popen[str], more: str | None = "\n") -> list[int]:
    out, _ = process.communicate(more, timeout=60)
    return [int(line) for line in out.splitlines()]


@pytest.mark.slow
def test_processes_side_by_side_cannot_overspend(path: Path, root: Path) -> None:
    store = Store(path)
    secret = add_key(store, "alice", tariff=flat(), budget="$0.05")
    clients = [client(path, secret, seed, root) for seed in range(4)]
    for process in clients:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    spent = [sum(charges(process, None)) for process in clients]
    (key,) = list_keys(store)
    assert key.balance == 50_000 * 10**6 - sum(spent) >= 0
    assert key.balance < 1500 * 10**6  # they stopped because nothing was left, not before
    assert (key.running, key.held) == (0, 0)
    assert sum(row.list_pico for row in served_rows(sqlite3.connect(path))) == sum(spent)


@pytest.mark.slow
def test_a_kill_at_any_instant_loses_no_charge_and_frees_what_was_held(path: Path, root: Path) -> None:
    store = Store(path)
    secret = add_key(store, "alice", tariff=flat(), budget="$1000")
    printed = 0
    for seed in range(6):
        process = client(path, secret, seed, root)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        killer = threading.Timer(0.02 + 0.03 * seed, process.kill)
        killer.start()
        lines = process.stdout.read().splitlines(keepends=True)
        process.wait()
        told = [int(line) for line in lines if line.endswith("\n")]
        printed += sum(told)
        (key,) = list_keys(store)
        assert key.balance is not None
        assert (key.running, key.held) == (0, 0)
        booked = sum(row.list_pico for row in served_rows(sqlite3.connect(path)))
        assert 1000 * DOLLAR - key.balance == booked  # the balance and the bill agree to the pico-dollar
        # whoever was told of a charge finds it booked; at most one a process was booked and not told any more
        assert printed <= booked <= printed + (seed + 1) * 1500 * 10**6
        printed = booked


def test_what_a_killed_process_held_can_be_spent_by_the_next(path: Path, root: Path) -> None:
    store = Store(path)
    secret = add_key(store, "alice", tariff=flat(), budget="$0.001", concurrency=1)
    program = (
        "import os, sys; from pathlib import Path; from centime.serve.accounts import Accounts\n"
        "accounts = Accounts(Path(sys.argv[1])); account = accounts.authenticate(sys.argv[2])\n"
        "accounts.admit(account, prompt_tokens=100, max_tokens=200); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(path), secret], check=False)
    accounts = Accounts(path)
    account = accounts.authenticate(secret)
    assert accounts.balance(account).held == 800 * 10**6
    accounts.admit(account, prompt_tokens=100, max_tokens=200).settle(Use())
    assert accounts.balance(account).held == 0
    holders = sqlite3.connect(path).execute("SELECT pid FROM holders").fetchall()
    assert holders == [(os.getpid(),)], "nothing is asked any more of who is gone"


def test_closing_lets_go_of_what_runs(path: Path) -> None:
    accounts, account = keyed(path, budget="$1")
    running = accounts.admit(account, prompt_tokens=1, max_tokens=1)
    assert list_keys(Store(path))[0].held > 0
    accounts.close()
    running.release()  # late, and of no consequence
    assert list_keys(Store(path))[0].held == 0
