"""A bill, or any other table, as a terminal shows it."""

from __future__ import annotations

from rich.console import Console, RenderableType

from centime.ledger.billing.bill import Bill
from centime.ledger.billing.table import table_of


def printed(made_bill: Bill | RenderableType, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table_of(made_bill) if isinstance(made_bill, Bill) else made_bill)
    return console.export_text()
