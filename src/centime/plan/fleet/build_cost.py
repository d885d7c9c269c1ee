"""What a GPU costs once it stands in a powered building, and what power it draws there: bottom up, per GPU.

    all-in = price x (1 + rest of the IT) + facility kW x building cost per kW

The two shares are read from one published breakdown, so that they are consistent: Bernstein, October 2025 (in
investing.com, "How much does a GW of data center capacity actually cost?"): a GB200 NVL72 rack at $5.9 M, $3.4 M of it
compute hardware and $2.5 M physical infrastructure; $35 B per GW; GPUs 39 %, networking 13 %, CPUs 3 % of the total.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from centime.catalogue.chips import Chip, chips
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.fleet.uncertain import Uncertain

BERNSTEIN = "Bernstein, Oct 2025, in investing.com 'How much does a GW of data center capacity actually cost?'"
RACK_USD, RACK_IT_USD, RACK_FACILITY_USD = 5.9e6, 3.4e6, 2.5e6
GIGAWATT_USD, GPU_SHARE, NETWORK_SHARE = 35e9, 0.39, 0.13
RACK_KW = 1e6 * RACK_USD / GIGAWATT_USD  # 168.6 kW of facility power per NVL72 rack
RACK_LIST_USD = 3.1e6  # the price of an NVL72 rack as sold (chips.csv, GB200 NVL72: fetchlogic.net)

# What is bought beside the purchase price of the catalogue, as a share of it.
REST_OF_RACK = RACK_IT_USD / RACK_LIST_USD - 1  # scale-out network and storage around a rack: 0.097
REST_OF_CHIP = (RACK_IT_USD / RACK_USD - GPU_SHARE - NETWORK_SHARE) / GPU_SHARE  # server and storage of a chip: 0.144
NETWORK_USD = 4_390  # per GPU of a two-layer fat tree at 400 Gbit/s (arXiv:2505.09343, table 3)
RACK_DOMAIN = 9  # chips in one scale-up domain from which on the catalogue's purchase price is a rack's, per chip

# $10 to 12 M per MW is the rule for plain data centres, and an AI one can cost the double.
BUILDING_USD_PER_KW = Uncertain(
    mid=round(RACK_FACILITY_USD / RACK_KW),
    low=10_000,
    high=20_000,
    source=said(
        "{source}: $2.5 M of infrastructure per 168.6 kW rack; 10-12 M$/MW plain, double for AI "
        "(ibinterviewquestions.com, data center capex)",
        source=said(BERNSTEIN),
    ),
)


@dataclass(frozen=True)
class BuildCost:
    """What one GPU costs with all that it needs, in USD, and its power at the facility's meter in kW."""

    accelerator: float  # purchase price of the catalogue: the chip, or its share of a rack
    rest_of_it: float  # server, network, storage
    building: float  # shell, cooling, power
    kw: float  # facility power, cooling included

    @property
    def it(self) -> float:
        """What wears out with the chip."""
        return self.accelerator + self.rest_of_it

    @property
    def total(self) -> float:
        """All-in."""
        return self.it + self.building


def is_rack(chip: Chip) -> bool:
    """Whether the catalogue's purchase price is a share of a rack's, server and inner network included."""
    return (chip.scaleup_domain or 0) >= RACK_DOMAIN


def rest_share(chip: Chip, price: float) -> float:
    """IT bought beside a purchase price, as a share of it."""
    return REST_OF_RACK if is_rack(chip) else REST_OF_CHIP + NETWORK_USD / price


def purchase_usd(chip: Chip, given: float | None = None) -> float:
    """The chip's price. Raises UserError where neither the catalogue nor the caller knows one."""
    price = given if given is not None else chip.purchase_usd
    if price is None:
        raise UserError(f"no purchase price is known for {chip.name}; give one with --chip-price '$30000'.")
    if price <= 0:
        raise UserError(f"a purchase price is above 0; found {price} for {chip.name}.")
    return price


def build_cost(
    chip: Chip, price: float | None = None, kw: float | None = None, usd_per_kw: float = BUILDING_USD_PER_KW.mid
) -> BuildCost:
    """The all-in cost of one GPU of `chip`. Raises UserError where no purchase price or power is known."""
    bought = purchase_usd(chip, price)
    power = kw if kw is not None else facility_kw(chip)[0]
    return BuildCost(bought, bought * rest_share(chip, bought), power * usd_per_kw, power)


def facility_kw(chip: Chip) -> tuple[float, Said]:
    """(kW per GPU with server, network and cooling, where from). The catalogue's all-in figure or, without one,
    TDP times the ratio of chips of the same vendor and TDP class. Raises UserError without a TDP."""
    if chip.power_kw_all_in is not None:
        return chip.power_kw_all_in, said("{chip} draws {kw:.2f} kW all-in (catalogue, cooling included)",
                                          chip=chip.name, kw=chip.power_kw_all_in)  # fmt: skip
    if chip.tdp_watts is None:
        raise UserError(f"neither all-in power nor a TDP is known for {chip.name}; state power.it_kw_per_gpu.")
    ratio = _all_in_over_tdp(chip.vendor, chip.tdp_watts)
    return chip.tdp_watts / 1000 * ratio, said(
        "{chip} draws {kw:.2f} kW all-in: TDP times {ratio:.2f}, as chips of its TDP do (assumption)",
        chip=chip.name, kw=chip.tdp_watts / 1000 * ratio, ratio=ratio,
    )  # fmt: skip


@functools.cache
def _all_in_over_tdp(vendor: str, tdp: float) -> float:
    """Median of all-in power over TDP: of chips of this vendor and TDP, of this vendor, or of all."""
    known = [c for c in chips() if c.power_kw_all_in and c.tdp_watts]
    for group in (
        [c for c in known if c.vendor == vendor and c.tdp_watts == tdp],
        [c for c in known if c.vendor == vendor],
        known,
    ):
        if group:
            ratios = sorted((c.power_kw_all_in or 0) * 1000 / (c.tdp_watts or 1) for c in group)
            return ratios[len(ratios) // 2]
    raise UserError("the catalogue has no chip with an all-in power.")
