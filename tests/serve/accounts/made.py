"""Accounts and uses made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.tariffs import Tariff, tariff_for
from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.serve.accounts import Account, Accounts, Refused
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store

DOLLAR = 10**12


@dataclass(frozen=True)
class Use:
    """What a request used, as the engine's Usage says it."""

    prompt_tokens: int = 100
    hit_tokens: int = 0
    output_tokens: int = 10
    machine_ns: int = 1_000_000
    first_token_ns: int = 2_000_000
    total_ns: int = 5_000_000
    energy: EnergyUse = NO_ENERGY


def flat(amounts: str = "1,2,3") -> Tariff:
    """A list with one price for all hours, per million tokens."""
    return tariff_for(amounts)


def keyed(
    path: Path, name: str = "alice", *, tariff: Tariff | None = None, **given: object
) -> tuple[Accounts, Account]:
    """Accounts at `path` and the account of a new key, with one-price prices."""
    store = Store(path)
    secret = add_key(store, name, tariff=tariff or flat(), **given)  # type: ignore[arg-type]
    store.close()
    accounts = Accounts(path, run="tiny")
    return accounts, accounts.authenticate(secret)


def refusal(ask: Callable[[], object]) -> int | None:
    """The status with which it was refused; None when it was not."""
    try:
        ask()
    except Refused as refused:
        return refused.status
    return None
