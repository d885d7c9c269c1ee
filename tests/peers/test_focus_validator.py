"""Our FOCUS file against the FinOps Foundation's own checker, the PyPI package focus-validator.

Its release 1.0.0 knows FOCUS up to 1.0 and asks for four columns by names that no published FOCUS has (ProviderName is
Provider there), and its rule for SkuPriceId reads a column of 0.5. Those five are the only complaints allowed.

It pins old releases of pandas and NumPy, so it lives in an environment of its own:

    python -m venv focus && focus/bin/pip install focus-validator "multimethod<2"
    CENTIME_FOCUS_VALIDATOR=focus/bin/focus-validator make test
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.ledger.made import at, made

from centime.ledger import Book
from centime.ledger.focus import write_focus
from centime.ledger.interval import RECOVERED

# What release 1.0.0 says about any file that follows FOCUS 1.2: names of its own, and a broken rule.
ITS_OWN = {
    "InvoiceIssuer_Required", "Provider_Required", "Publisher_Required", "ResourceID_Required", "SkuPriceId_Nullable",
}  # fmt: skip


@pytest.fixture
def validator() -> Path:
    found = os.environ.get("CENTIME_FOCUS_VALIDATOR") or shutil.which("focus-validator")
    if not found or not Path(found).exists():
        pytest.skip("no focus-validator: install it in an environment of its own and set CENTIME_FOCUS_VALIDATOR")
    return Path(found).absolute()


def complaints(validator: Path, file: Path) -> set[str]:
    """The names of the rules that the file breaks."""
    site = next(validator.parents[1].glob("lib/python*/site-packages"))  # it reads a table relative to its own folder
    done = subprocess.run([validator, "--data-file", file], cwd=site, capture_output=True, text=True, check=False)
    assert "Validation" in done.stdout + done.stderr or "Errors encountered" in done.stdout, done.stdout + done.stderr
    return set(re.findall(r"^(\w+) failed:", done.stdout, re.MULTILINE))


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The file of a book with every kind of interval: long, tiny, killed, assumed, over a month's end, in euros."""
    with Book(tmp_path / "ledger.sqlite") as book:
        book.write(
            [
                made(tokens=10, flops=1e24),
                made("context", hours=1e-9, price_per_hour=2, price_kind="assumed", price_note='with a ", in it'),
                made("sft", hours=1500, wall_start_ns=at("2026-06-30T23:59"), devices=2048),
                made("generate", state=RECOVERED, estimated_ns=250_000_000, verb="generate", currency="EUR"),
                made("startup", run="", run_path=None, energy_source="none"),
            ]
        )
        write_focus(book, tmp_path / "focus.csv")
    return tmp_path / "focus.csv"


def test_the_checker_has_nothing_to_say_but_its_own_names(validator: Path, exported: Path) -> None:
    assert complaints(validator, exported) <= ITS_OWN


def test_the_checker_would_have_seen_a_mistake(validator: Path, exported: Path) -> None:
    text = exported.read_text()
    exported.write_text(text.replace("AI and Machine Learning", "Artificial Sweetener").replace(",EUR,", ",Euro,"))
    assert complaints(validator, exported) - ITS_OWN >= {"ServiceCategory_Enum", "BillingCurrency_IsCurrencyCode"}
