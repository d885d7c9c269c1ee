"""What answers requests, as the bill knows it: its name, the price of its hour, and how its time was spent."""

from __future__ import annotations

import os

from centime.catalogue.prices import Price
from centime.ledger.book import name_of
from centime.ledger.served import EngineTime
from centime.serve.accounts.pricing import Pricing


class Machine:
    """One engine, or one server behind a gateway. A gateway has several, each with requests and hours of its own.

    run: whose serving this is on the bill: a model folder or a name. price, devices: what an hour of one device costs,
    None where it is not known, and how many it works on.
    """

    def __init__(self, run: str | os.PathLike[str], price: Price | None = None, devices: int = 1) -> None:
        name, folder = name_of(run)
        self.pricing = Pricing(name, folder or "", price, devices)
        self.clock = EngineTime(name, folder, devices)
