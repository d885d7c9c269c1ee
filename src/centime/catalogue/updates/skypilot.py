"""SkyPilot's catalogue: what each cloud asks for an instance with accelerators, by region (skypilot-catalog, v8).

Of every cloud the lower median of its offers on demand, for one chip of an instance; of those the lower median over
clouds; the same of the offers in each part of the world (kind `in europe`), and of spot offers, where a cloud has them
(`spot`, `spot in europe`). A price that somebody really asks, as the shipped table has it (`centime.catalogue.prices`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from centime.catalogue.refreshed import AREAS
from centime.catalogue.updates.areas import area_of
from centime.catalogue.updates.found import Found
from centime.catalogue.updates.places import CataloguePlace, Missing
from centime.errors import UserError

URL = "https://raw.githubusercontent.com/skypilot-org/skypilot-catalog/master/catalogs/v8"
CLOUDS = (
    *("aws", "azure", "cudo", "do", "gcp", "hyperbolic", "hyperstack", "jarvislabs", "lambda", "mithril", "nebius"),
    *("oci", "paperspace", "primeintellect", "runpod", "seeweb", "shadeform", "vast", "verda", "yotta"),
)
NEEDED = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region")
OVER_CLOUDS = "median over clouds"
MOST_USD = 1000  # an hour of one chip; more is a mistake of the table
NOT_OFFERED = Decimal(700)  # what Google's table says of a slice of TPUs in a zone that has none

# device -> market -> cloud -> area, None where it is not known
Offers = dict[str, dict[str, dict[str, dict[str | None, list[Decimal]]]]]
PRICES = {"on demand": "Price", "spot": "SpotPrice"}  # market, as terms say it -> the column with its price

# What SkyPilot calls an accelerator -> the chip, where the instance's name says no other form of it.
CHIPS = {
    "A100": "A100 SXM 40GB", "A100-40GB": "A100 SXM 40GB", "A100-80GB": "A100 SXM 80GB",
    "A100-80GB-SXM": "A100 SXM 80GB", "A800": "A800 SXM 80GB",
    "A10G": "A10G 24GB", "A40": "A40 48GB", "A6000": "A6000", "RTXA6000": "A6000",
    "B200": "B200 SXM 180GB", "B300": "B300 SXM 288GB", "GB200": "GB200 NVL72", "GB300": "GB300 NVL72",
    "GH200": "GH200 96GB", "H20": "H20 96GB",
    "H100": "H100 SXM 80GB", "H100-80GB": "H100 SXM 80GB", "H100-SXM": "H100 SXM 80GB", "H100-MEGA": "H100 SXM 80GB",
    "H100-NVLINK": "H100 SXM 80GB", "H100-NVL": "H100 NVL 94GB", "H100-PCIe": "H100 PCIe 80GB",
    "H200": "H200 SXM 141GB", "H200-SXM": "H200 SXM 141GB", "H200-NVL": "H200 NVL 141GB",
    "L4": "L4", "L20": "L20", "L40S": "L40S", "T4": "T4", "V100-32GB": "V100 SXM2 32GB",
    "MI300X": "MI300X", "MI325X": "MI325X", "MI350X": "MI350X", "MI355X": "MI355X",
    "RTX3090": "RTX 3090", "RTX4090": "RTX 4090", "RTX5090": "RTX 5090",
    "RTX4080": "RTX 4080", "RTX5080": "RTX 5080",
    "RTX6000-Ada": "RTX 6000 Ada 48GB", "RTX6000Ada": "RTX 6000 Ada 48GB",
    "RTXPRO6000S": "RTX PRO 6000 Blackwell Server", "RTXPRO6000": "RTX PRO 6000 Blackwell Server",
}  # fmt: skip
_FORMS = {
    ("H100 SXM 80GB", "pcie"): "H100 PCIe 80GB",
    ("H100 SXM 80GB", "nvl"): "H100 NVL 94GB",
    ("H200 SXM 141GB", "nvl"): "H200 NVL 141GB",
    ("A100 SXM 80GB", "pcie"): "A100 PCIe 80GB",
}
# Of a slice of TPUs: the chip, and how many of the number behind its name are one (cores up to v4 and of v5p).
TPUS = {
    "v3": ("TPU v3", 2),
    "v4": ("TPU v4", 2),
    "v5litepod": ("TPU v5e", 1),
    "v5p": ("TPU v5p", 2),
    "v6e": ("TPU v6e Trillium", 1),
}


def read_skypilot(place: CataloguePlace) -> Found:
    """The prices of an hour of every chip. Raises UserError for a table that is broken, and where there is none."""
    found = Found()
    offers: Offers = defaultdict(lambda: {market: defaultdict(lambda: defaultdict(list)) for market in PRICES})
    for cloud in CLOUDS:
        try:
            rows = place.table(NEEDED, f"{cloud}/vms.csv")
        except Missing:
            found.missing.append(cloud)
            continue
        for row in rows:
            _offer(row, cloud, offers, found)
    if not offers:
        raise UserError(f"{place.address} has no offer of a chip that centime knows; {place.mend}.")
    day = place.day()
    for device in sorted(offers):
        for market, by_cloud in offers[device].items():
            found.rows += _rows(device, market, by_cloud, f"SkyPilot catalogue at {place.address}")
    for number, row in enumerate(found.rows, 1):
        row |= {"id": f"S{number:04d}", "date": day}
    return found


def _rows(
    device: str, market: str, offers: Mapping[str, dict[str | None, list[Decimal]]], source: str
) -> list[dict[str, str]]:
    """What clouds ask on a market: each alone where it is on demand, the median over them, and that of each area."""
    by_area = sorted(offers.items())
    clouds = {cloud: _median([one for prices in areas.values() for one in prices]) for cloud, areas in by_area}
    rows = []
    if market == "on demand":
        rows = [_row(device, "rental", cloud, price, market) | {"source": source} for cloud, price in clouds.items()]
    within = {"median" if market == "on demand" else market: clouds}
    for area in AREAS:
        there = {cloud: _median(areas[area]) for cloud, areas in by_area if area in areas}
        within[f"in {area}" if market == "on demand" else f"{market} in {area}"] = there
    for kind, prices in within.items():
        if prices:
            row = _row(device, kind, OVER_CLOUDS, _median([*prices.values()]), market)
            rows.append(row | {"source": f"{source}: {', '.join(prices)}"})
    return rows


def _row(device: str, kind: str, provider: str, price: Decimal, terms: str) -> dict[str, str]:
    what = {"device": device, "kind": kind, "provider": provider, "per_hour": f"{price:f}", "vcpus": ""}
    return what | {"currency": "USD", "terms": terms, "confidence": "refreshed"}


def _offer(row: Mapping[str, str], cloud: str, offers: Offers, found: Found) -> None:
    """One line of a cloud's table: an offer on demand, something else, or of a chip that centime has no row for."""
    name = row["AcceleratorName"].strip()
    if not name:
        found.unused["without an accelerator"] += 1
        return
    device, chips_each = _chip(row)
    if device is None:
        found.unknown[re.sub(r"^(tpu-v\w+?)-\d+$", r"\1", name)] += 1
        return
    if not row["InstanceType"] and not name.startswith("tpu"):  # Google's machines are priced on lines of their own
        found.unused["without the machine around it"] += 1
        return
    for market, column in PRICES.items():
        each = _each(row, column, chips_each)
        if each is not None and not (name.startswith("tpu") and Decimal(row[column]) == NOT_OFFERED):
            offers[device][market][cloud][area_of(row["Region"])].append(each)
        elif market == "on demand":
            found.unused["without a price on demand"] += 1


def _each(row: Mapping[str, str], column: str, chips_each: Decimal) -> Decimal | None:
    """What an hour of one chip costs; None where the cell is empty or says what no hour costs."""
    try:
        price, count = Decimal(row.get(column) or "NaN"), Decimal(row["AcceleratorCount"] or "NaN")
    except InvalidOperation:
        return None
    if not count.is_finite() or count <= 0 or not price.is_finite():
        return None
    each = price / (count * chips_each)
    return each.quantize(Decimal("0.0001")).normalize() if 0 < each <= MOST_USD else None


def _chip(row: Mapping[str, str]) -> tuple[str | None, Decimal]:
    """The chip of an offer, and how many of them its accelerator is."""
    name = row["AcceleratorName"].strip()
    slice_of = re.fullmatch(r"tpu-(v\w+?)-(\d+)", name)
    if slice_of and slice_of[1] in TPUS and int(slice_of[2]):
        device, cores = TPUS[slice_of[1]]
        return device, Decimal(int(slice_of[2])) / cores
    base = CHIPS.get(name)
    said = f"{row['InstanceType']} {row.get('GpuInfo', '')}".lower()
    if base == "A100 SXM 40GB" and re.search(r"'sizeinmib': 8[0-9]", said):
        base = "A100 SXM 80GB"
    form = next(
        (chip for (of, word), chip in _FORMS.items() if of == base and re.search(rf"{word}(?!ink)", said)), base
    )
    return form, Decimal(1)


def _median(prices: list[Decimal]) -> Decimal:
    return sorted(prices)[(len(prices) - 1) // 2]
