"""What a server has done since it started, for the lines it leaves with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from centime.serve.accounts.charge import Charge, Used
from centime.units import format_money

if TYPE_CHECKING:
    from centime.ledger import Spent


class Tally:
    """Sums over the calls that have ended."""

    def __init__(self) -> None:
        self.calls = self.hit_tokens = self.miss_tokens = self.output_tokens = self.machine_ns = 0
        self.list_pico: Counter[str] = Counter()  # by currency

    def add(self, used: Used, charge: Charge) -> None:
        """One more call."""
        self.calls += 1
        self.hit_tokens += used.hit_tokens
        self.miss_tokens += used.prompt_tokens - used.hit_tokens
        self.output_tokens += used.output_tokens
        self.machine_ns += used.machine_ns
        if charge.price_list:
            self.list_pico[charge.currency] += charge.list_price

    def lines(self, spent: Spent) -> list[str]:
        """The bill in a few sentences; `spent` is the whole time of the devices, waiting included."""
        seconds = spent.device_ns / 1e9
        share = self.machine_ns / spent.device_ns if spent.device_ns else 0.0
        answered = (
            f"Answered {self.calls:,} calls: {self.hit_tokens:,} prompt tokens from the cache, {self.miss_tokens:,} "
            f"computed, {self.output_tokens:,} generated, in {share:.1%} of {seconds:,.1f} device-seconds."
        )
        money = []
        if spent.cost is not None and spent.currency is not None:
            money.append(f"The machine cost {format_money(spent.cost, spent.currency)}, waiting included")
        money += [f"the price list asks {format_money(pico / 1e12, name)}" for name, pico in self.list_pico.items()]
        lines = [answered]
        if money:
            text = "; ".join(money)
            lines.append(text[0].upper() + text[1:] + ".")
        lines.append("`centime bill --hours` shows it hour by hour.")
        return lines
