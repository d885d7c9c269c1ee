"""What requests are charged: a key's price list for the client, a share of the machine's hour for the bill."""

from __future__ import annotations

import time
from dataclasses import dataclass

from centime.catalogue.prices import Price
from centime.catalogue.tariffs import Asked
from centime.ledger.served import Served, hour_of
from centime.serve.accounts.account import Account
from centime.serve.accounts.charge import MOST_PICO, Charge, Used, check_use, machine_cost


@dataclass(frozen=True)
class Pricing:
    """Prices of one server. run, run_path: whose serving it is on the bill, '' for a run without a folder.

    price, devices: what an hour of one device costs, None where it is not known, and how many the server works on.
    """

    run: str
    run_path: str
    price: Price | None
    devices: int

    def charge(self, account: Account, asked: Asked, used: Used) -> tuple[Charge, Served]:
        """What a request is charged, and its line on the bill. Raises ValueError for a use that cannot be.

        asked: the prices at which it was admitted, and which of the list's they are.
        """
        check_use(used, self.devices)
        tariff, amounts = account.tariff, asked.amounts
        charge = Charge(
            machine_cost(used.machine_ns, self.devices, self.price),
            self.price.currency if self.price else "",
            used.hit_tokens * amounts.hit,
            (used.prompt_tokens - used.hit_tokens) * amounts.miss,
            used.output_tokens * amounts.output,
            tariff.currency if tariff else "",
            asked.name,
            asked.hours,
            asked.doubt,
        )
        if charge.list_price > MOST_PICO:
            raise ValueError(f"a request of {used} costs more than any may")
        row = Served(
            hour_of(time.time_ns()), self.run, self.run_path, account.name, charge.price_list,
            charge.currency, charge.hours, 1, used.prompt_tokens, used.hit_tokens, used.output_tokens,
            used.machine_ns * self.devices, charge.hit_amount, charge.miss_amount, charge.output_amount,
        )  # fmt: skip
        return charge, row
