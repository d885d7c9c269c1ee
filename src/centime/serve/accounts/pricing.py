"""What requests are charged: a key's price list for the client, a share of the machine's hour for the bill."""

from __future__ import annotations

import time
from dataclasses import dataclass

from centime.catalogue.prices import Price
from centime.catalogue.tariffs import Asked
from centime.ledger.requests import ServedRequest
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

    def charge(self, account: Account, asked: Asked, used: Used) -> tuple[Charge, Served, ServedRequest]:
        """What a request that ends now is charged, its line on the bill, and itself.

        Raises ValueError for a use that cannot be.

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
        now = time.time_ns()
        row = Served(
            hour_of(now), self.run, self.run_path, account.name, charge.price_list,
            charge.currency, charge.hours, 1, used.prompt_tokens, used.hit_tokens, used.output_tokens,
            used.machine_ns * self.devices, charge.hit_amount, charge.miss_amount, charge.output_amount,
            used.energy.measured_uj, used.energy.estimated_uj, used.energy.known_ns,
        )  # fmt: skip
        itself = ServedRequest(
            self.run, self.run_path, account.name, charge.price_list, charge.currency, now - used.total_ns,
            used.prompt_tokens, used.hit_tokens, used.output_tokens, used.first_token_ns, used.total_ns,
            charge.list_price, measured_uj=used.energy.measured_uj if used.energy.known_ns else None,
            estimated_uj=used.energy.estimated_uj if used.energy.known_ns else None,
        )  # fmt: skip
        return charge, row, itself
