"""Epoch's table of machine-learning hardware: what a chip cost at its release, for chips whose price centime lacks."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from centime.catalogue.chips import chips
from centime.catalogue.updates.found import Found
from centime.catalogue.updates.places import CataloguePlace
from centime.errors import UserError

URL = "https://epoch.ai/data/ml_hardware.csv"
NEEDED = ("Hardware name", "Release date", "Release price (USD)")
_MAKERS = {
    "nvidia",
    "amd",
    "google",
    "intel",
    "huawei",
    "instinct",
    "geforce",
    "radeon",
    "data",
    "center",
    "gpu",
    "tesla",
}


def read_epoch(place: CataloguePlace) -> Found:
    """The release prices of the chips of the catalogue, of the row whose name has a chip's words. Raises UserError."""
    found, read = Found(), place.day()
    known = {name: chip.name for chip in chips() for name in (_plain(chip.name), *map(_plain, chip.aliases.split("|")))}
    prices: dict[str, dict[str, str]] = {}
    for row in place.table(NEEDED):
        name, date = row["Hardware name"].strip(), row["Release date"].strip()
        usd = _dollars(row["Release price (USD)"])
        if not usd or not re.fullmatch(r"\d{4}(-\d\d){0,2}", date):
            found.unused["without a release price"] += 1
            continue
        device = known.get(_plain(name))
        if device is None:
            found.unknown[name] += 1
        else:
            source = f"Epoch AI, machine-learning hardware at {place.address} (CC BY)"
            prices.setdefault(
                device, {"device": device, "purchase_usd": usd, "date": date, "read": read, "source": source}
            )
    if not prices:
        raise UserError(f"{place.address} has no release price of a chip that centime knows; {place.mend}.")
    found.rows = [prices[device] for device in sorted(prices)]
    return found


def _plain(name: str) -> str:
    """'NVIDIA H100 SXM5 80 GB' and 'H100 SXM 80GB' are one: no maker, no spaces, no generation of a socket."""
    kept = [word for word in re.split(r"[\s_/()-]+", name.lower()) if word and word not in _MAKERS]
    return "".join(re.sub(r"^sxm\d$", "sxm", word) for word in kept)


def _dollars(text: str) -> str:
    try:
        amount = Decimal(text.replace(",", "").strip().lstrip("$") or "NaN")
    except InvalidOperation:
        return ""
    return format(amount.normalize(), "f") if amount.is_finite() and 0 < amount < 10**7 else ""
