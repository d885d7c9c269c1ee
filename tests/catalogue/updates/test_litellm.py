"""Prices of model APIs as price lists, exact to the millionth; dated lists with hours are not replaced."""

from __future__ import annotations

import datetime

from tests.catalogue.updates.made import Catalogues

from centime.catalogue.api_prices import price_list
from centime.catalogue.tariffs import TokenPrices, tariff_for
from centime.catalogue.updates import update

TODAY = datetime.datetime.now(datetime.UTC).date().isoformat()


def test_what_is_priced_by_the_token_is_taken(server: Catalogues) -> None:
    done = update("litellm", server.address + "/litellm.json")
    assert [row["model"] for row in done.found.rows] == [
        *("deepseek/deepseek-v4-pro", "deepseek-v4-pro", "gpt-6-luna", "them/plain"),
    ]
    assert done.as_json()["unused"] == {"not priced by the token": 1, "not text for text": 1}
    assert price_list("deepseek/deepseek-v4-pro").date == TODAY
    assert tariff_for("deepseek/deepseek-v4-pro").peak == TokenPrices(44_000, 1_320_000, 3_960_000)
    tiers = [row["model"] for row in done.found.rows if "context tiers" in row["terms"]]
    assert tiers == ["gpt-6-luna"]
    assert tariff_for("them/Plain").peak == TokenPrices(200_000, 200_000, 400_000)  # a hit costs what a miss does


def test_a_newer_price_of_a_shipped_model_goes_before(server: Catalogues) -> None:
    before = price_list("gpt-6-luna")
    update("litellm", server.address + "/litellm.json")
    found = price_list("gpt-6-luna")
    assert (found.hit, found.miss, found.output) == (0.009, 0.09, 0.45)
    assert "context tiers" in found.terms
    assert price_list("gpt-6-luna", before.date) == before


def test_a_list_with_hours_and_instants_stays_as_it_is(server: Catalogues) -> None:
    before = tariff_for("deepseek-v4-pro")
    update("litellm", server.address + "/litellm.json")
    assert tariff_for("deepseek-v4-pro") == before
