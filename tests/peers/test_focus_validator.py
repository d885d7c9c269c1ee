"""Our FOCUS file against the FinOps Foundation's own checker, the PyPI package focus-validator.

Its release 2.2.1 carries the rules of FOCUS 1.2. It has one thing to say about our file: that InvoiceId is null. The
specification asks for null where a charge is on no invoice, which is where hardware of one's own is; the checker cannot
tell.

It wants Python 3.12 and old releases of NumPy and pandas, so it lives in an environment of its own, `.venv-focus`,
which `make focus-validator` makes; CENTIME_FOCUS_VALIDATOR names another.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.ledger.made import at, made

from centime.ledger import Book
from centime.ledger.billing import write_focus
from centime.ledger.interval import RECOVERED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NO_INVOICE = {"InvoiceId-C-005-C"}  # "MUST NOT be null [when the charge is associated with an invoice]"


@pytest.fixture(scope="module")
def validator() -> Path:
    found = os.environ.get("CENTIME_FOCUS_VALIDATOR") or ROOT / ".venv-focus" / "bin" / "focus-validator"
    if not Path(found).exists():
        pytest.skip("no focus-validator: `make focus-validator` installs it where there is a Python 3.12")
    return Path(found).absolute()


def complaints(validator: Path, file: Path) -> set[str]:
    """The names of the rules of FOCUS 1.2 that the file breaks."""
    site = next(validator.parents[1].glob("lib/python*/site-packages"))  # it reads a table relative to its own folder
    options = ["--validate-version", "1.2.0.1", "--block-download", "--focus-dataset", "CostAndUsage"]
    command = [validator, "--data-file", file, *options]
    done = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)
    total = re.search(r"^Total: \d+ \| Pass: (\d+)", done.stdout, re.MULTILINE)
    assert total, done.stdout + done.stderr
    assert int(total[1]) > 100, done.stdout
    return set(re.findall(r"^\S+ (\S+): FAIL", done.stdout, re.MULTILINE))


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


def test_the_checker_has_nothing_to_say(validator: Path, exported: Path) -> None:
    assert complaints(validator, exported) == NO_INVOICE


@pytest.mark.long
def test_the_checker_would_have_seen_a_mistake(validator: Path, exported: Path) -> None:
    text = exported.read_text()
    exported.write_text(text.replace("AI and Machine Learning", "Artificial Sweetener").replace(",EUR,", ",Euro,"))
    assert {rule.split("-")[0] for rule in complaints(validator, exported) - NO_INVOICE} == {
        "ServiceCategory",
        "BillingCurrency",
    }
