"""What was served as FOCUS charges of tokens: sums that are the ledger's, exact, and none of them twice."""

from __future__ import annotations

import csv
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from tests.serve.accounts.made import DOLLAR, Use, flat

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing.focus_forms import COLUMNS, MANDATORY
from centime.ledger.billing.focus_tokens import kind_named, write_focus_tokens
from centime.serve.accounts import Accounts
from centime.serve.accounts.keys import add_key


def served(home: Path) -> list[Use]:
    """Requests of two keys, and of a third without prices."""
    accounts = Accounts(home / "ledger.sqlite", run="m", tariff=tariff_for("0.03,0.3,1.2"))
    uses = [Use(100, 60, 7), Use(1, 0, 0), Use(333, 333, 1)]
    for name in ("ann", "bob"):
        secret = add_key(accounts.store, name, tariff=flat("1,2,3") if name == "bob" else None)
        for use in uses:
            accounts.admit(accounts.authenticate(secret)).settle(use)
    accounts.close()
    free = Accounts(home / "ledger.sqlite", run="free")
    secret = add_key(free.store, "eve")
    free.admit(free.authenticate(secret)).settle(Use(5, 0, 5))
    free.close()
    return uses


@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_charges_add_up_to_what_was_asked(tmp_path: Path, version: str) -> None:
    uses = served(tmp_path)
    with Book(tmp_path / "ledger.sqlite") as book:
        written, left_out = write_focus_tokens(book, tmp_path / "out.csv", version=version)
        asked = sum(row.list_pico for row in book.served())
        with pytest.raises(UserError, match="nowhere"):
            write_focus_tokens(book, tmp_path / "none.csv", "nowhere")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (written, left_out) == (len(rows), 1) == (6, 1)
    assert tuple(rows[0]) == COLUMNS[version]
    assert all(row[name] for row in rows for name in MANDATORY[version] if name != "ChargeClass")
    assert sum(Decimal(row["ListCost"]) for row in rows) * DOLLAR == asked
    tokens: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == Decimal(row["ListCost"])
        assert (row["PricingUnit"], row["BilledCost"]) == ("Tokens", "0.0")
        tokens[row["SubAccountId"], row["SkuPriceId"].rpartition(":")[2]] += int(row["x_Tokens"])
    kinds = {
        "cached-input": sum(use.hit_tokens for use in uses),
        "input": sum(use.prompt_tokens - use.hit_tokens for use in uses),
        "output": sum(use.output_tokens for use in uses),
    }
    assert tokens == {(name, kind): number for name in ("ann", "bob") for kind, number in kinds.items()}


def test_another_kind_is_a_sentence() -> None:
    assert [kind_named(word) for word in ("machine", "tokens")] == ["machine", "tokens"]
    with pytest.raises(UserError, match="--focus-of 'money' is nothing to charge; give machine or tokens"):
        kind_named("money")
