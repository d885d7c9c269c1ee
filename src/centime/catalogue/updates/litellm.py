"""LiteLLM's map of model prices: what an API asks for a token of the prompt, in its cache or not, and of output."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from centime.catalogue.tariffs import MOST
from centime.catalogue.updates.found import Found
from centime.catalogue.updates.places import CataloguePlace
from centime.errors import UserError
from centime.json_files import kind, parse_json

URL = "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
MODES = ("chat", "completion", "responses")  # what is asked with text and answers with text
SPECIMEN = "sample_spec"  # the entry that explains the others
FINEST = Decimal("0.000001")  # of a currency's unit, per million tokens: what tariffs keep


def read_litellm(place: CataloguePlace) -> Found:
    """The prices of every model that is priced by the token. Raises UserError for what is no such map."""
    tree = parse_json(place.read(), place.address, place.mend)
    if not isinstance(tree, dict) or not any(isinstance(entry, dict) and "mode" in entry for entry in tree.values()):
        raise UserError(
            f"{place.address} holds {kind(tree)} without LiteLLM's entries (a model with its mode and costs); "
            f"{place.mend}."
        )
    found, day = Found(), place.day()
    for name, entry in tree.items():
        if name == SPECIMEN or not isinstance(entry, dict):
            continue
        if entry.get("mode") not in MODES:
            found.unused["not text for text"] += 1
            continue
        hit, miss, output = (
            _per_million(entry.get(key))
            for key in ("cache_read_input_token_cost", "input_cost_per_token", "output_cost_per_token")
        )
        if not miss or not output:
            found.unused["not priced by the token"] += 1
            continue
        found.rows.append(
            {
                "id": f"L{len(found.rows) + 1:04d}",
                "model": name.lower(),
                "provider": str(entry.get("litellm_provider", "")),
                "date": day,
                "effective": "",
                "hit": hit or "",
                "miss": miss,
                "output": output,
                "currency": "USD",
                "terms": "list price, standard tier" + ("; >context tiers exist" if _tiers(entry) else ""),
                "confidence": "refreshed",
                "source": f"LiteLLM's price map at {place.address}",
            }
        )
    if not found.rows:
        raise UserError(f"{place.address} prices no model by the token; {place.mend}.")
    return found


def _per_million(cost: Any) -> str:
    """USD per million tokens of a cost per token, to a millionth; '' where it is no price."""
    try:
        amount = Decimal(str(cost)) * 10**6
    except InvalidOperation:
        return ""
    if not amount.is_finite() or not 0 < amount <= MOST:
        return ""
    return format(amount.quantize(FINEST).normalize(), "f")


def _tiers(entry: dict[str, Any]) -> bool:
    return any("_above_" in key for key in entry)
