"""In which part of the world an offer stands, by what its cloud calls the region."""

from __future__ import annotations

import re

from centime.catalogue.refreshed import AREAS

# Words of region names: of countries, cities and directions, as the tables of SkyPilot's clouds have them in 2026.
_WORDS = {
    "us": "us usa america virginia ohio oregon texas california iowa desmoines chicago dallas phoenix ashburn utah",
    "canada": "ca can canada montreal toronto northamerica",
    "europe": "eu europe uk gb london de germany frankfurt fr france paris nl netherlands amsterdam se sweden no "
    "norway oslo fi fin finland helsinki ice is iceland ie ireland dublin es spain madrid it italy milan "
    "pl poland warsaw cz czechia ch switzerland zurich at austria be belgium bg bulgaria ro romania pt "
    "portugal dk denmark ee estonia lt lithuania lv latvia hu hungary gr greece hr croatia si slovenia sk "
    "slovakia lu luxembourg ua ukraine stockholm",
    "asia": "ap asia jp japan tokyo osaka in india mumbai pune hyderabad sg singapore kr korea seoul tw taiwan hk "
    "hongkong my malaysia th thailand vn vietnam id indonesia ph philippines cn china kz kazakhstan southeastasia "
    "eastasia",
    "australia": "au australia sydney melbourne nz zealand",
    "middle-east": "me il israel telaviv ae uae qa qatar sa saudi bahrain tr turkey middleeast",
    "south-america": "southamerica br brazil saopaulo cl chile co colombia ar argentina",
    "africa": "af africa za southafrica johannesburg ma ng",
}
_BY_WORD = {word: area for area in AREAS for word in _WORDS[area].split()}
# Whole names that mean otherwise than their first word: AWS's South America and Oceania, Azure's joined names.
_WHOLE = (
    (r"sa-(east|west)-\d", "south-america"),
    (r"ap-(southeast-[246]|melbourne|sydney).*", "australia"),
    (r"(north|south|east|west)?(central|east|west)us\d*.*", "us"),
    (r"us(gov|dod|nat|sec).*", "us"),
    (r"(canada|australia|japan|korea|brazil|france|germany|norway|sweden|poland|italy|spain|switzerland|uae|qatar"
     r"|israel|southafrica)(north|south|east|west|central)+\d?", ""),
    (r"(north|west)europe", "europe"),
    (r"uk(south|west)", "europe"),
    (r"(central|south|west|jio)india(west|central)?", "asia"),
)  # fmt: skip


def area_of(region: str) -> str | None:
    """'eu-north1', 'FIN-03', 'eastus2', 'California, US' -> europe, europe, us, us; None where no word is known."""
    name = region.strip().lower()
    for pattern, area in _WHOLE:
        if found := re.fullmatch(pattern, name):
            return area or _BY_WORD[{"uae": "ae", "southafrica": "za"}.get(found[1], found[1])]
    words = re.findall(r"[a-z]+", name)
    in_order = words if "," not in name else words[::-1]  # 'Georgia, US': the country stands last
    return next((_BY_WORD[word] for word in in_order if word in _BY_WORD), None)
