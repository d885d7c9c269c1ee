"""Collectives: bytes over links plus start-ups, by where a group of chips lies.

Chips are numbered with tensor parallelism innermost, then context, expert and data, pipeline stages outermost, as
Megatron-LM and DeepSeek lay them out: a group of `size` chips that are `stride` apart has
min(size, domain // stride) members within one scale-up domain (NVLink island), the rest behind the network cards.
Ring costs: an all-gather or reduce-scatter of n bytes over g chips moves n (g - 1) / g through every chip, an
all-reduce twice that (Thakur et al. 2005, section 3).
"""

from __future__ import annotations

from centime.plan.step.efficiency import ChipRates


def members(size: int, stride: int, domain: int) -> int:
    """How many of a group lie in one scale-up domain, at least one."""
    return max(1, min(size, domain // max(1, stride)))


def bandwidth(size: int, stride: int, rates: ChipRates) -> float:
    """Bytes/s per chip of a ring over the group: the scale-up link within a domain.

    Across domains a ring runs through the network cards of all its members in a domain, side by side.
    """
    near = members(size, stride, rates.scaleup_domain)
    if size <= near:
        return rates.scaleup
    return min(rates.scaleup, rates.scaleout * near)


def gather_seconds(size: int, stride: int, payload: float, rates: ChipRates) -> float:
    """All-gather or reduce-scatter of `payload` bytes (the whole, not a shard)."""
    if size <= 1:
        return 0.0
    return payload * (size - 1) / size / bandwidth(size, stride, rates)


def domains_reached(copies: float, domains: int, limit: float) -> float:
    """Other domains that a token's `copies` fall into, when each falls anywhere; at most `limit` (0: no limit)."""
    mean = float((domains - 1) * (1.0 - (1.0 - 1.0 / domains) ** copies))
    return min(mean, limit * (1.0 - 1.0 / domains)) if limit else mean


def exchange_seconds(size: int, stride: int, payload: float, copies: float, limit: float, rates: ChipRates) -> float:
    """All-to-all: each chip sends `payload` bytes, its tokens in `copies` (top-k) equal copies, to chips of the group.

    A token crosses the network once for every other domain that it is sent to, and spreads by NVLink behind it (V3
    report, section 3.2.2); limit: domains that routing allows a token (V3: 4), 0 where it does not limit them.
    Traffic within and between domains goes on at the same time; the slower is waited for.
    """
    if size <= 1:
        return 0.0
    near = members(size, stride, rates.scaleup_domain)
    domains = -(-size // near)
    far = payload / copies * domains_reached(copies, domains, limit) if domains > 1 else 0.0
    inside = payload * (1.0 - 1.0 / near)
    return max(inside / rates.scaleup, far / rates.scaleout)


def send_seconds(stride: int, payload: float, rates: ChipRates) -> float:
    """One message of `payload` bytes to the chip `stride` further on, by NVLink where that is in the same domain."""
    return payload / (rates.scaleup if stride < rates.scaleup_domain else rates.scaleout)
