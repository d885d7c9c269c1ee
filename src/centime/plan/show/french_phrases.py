"""French of what the catalogue and the planner put together themselves: sources, ages, assumptions about chips.

Sentences that stand as they are have a line in french/*.toml; these have parts that differ from row to row.
"""

from __future__ import annotations

import re

_ASSUMED = (
    (r"\bas on (.+) nodes$", r"comme sur les nœuds \1"),
    (r"(?<=\w) and (?=\w)", " et "),
    (r"\bper chip\b", "par puce"),
    (r"^one (.+) port for two chips$", r"un port de \1 pour deux puces"),
    (r"^a share of (.+) of the host's network$", r"une part de \1 du réseau de l'hôte"),
    (r"^no peer links$", "aucun lien direct"),
    (r"^twice ", "deux fois "),
    (r"^four times ", "quatre fois "),
    (r"^from (?:the )?announced (.+) rack$", r"d'après la baie \1 annoncée"),
    (r"^from announced racks$", "d'après les baies annoncées"),
    (r"^as (?:on )?", "comme "),
)
_PHRASES = (
    (r"^predicted by centime plan serve: (.+) on (.+)$", r"prédit par centime plan serve : \1 sur \2"),
    (r"^predicted by centime plan serve\b", "prédit par centime plan serve"),
    (
        r"^DeepSeek's list prices: low (.+?); mid (.+?); high ",
        r"prix affichés de DeepSeek : bas \1 ; médian \2 ; haut ",
    ),
    (r"^config\.json as vendored in ", "config.json tel que repris dans "),
    (r"^catalogue, all-in\b", "catalogue, tout compris"),
    (r"^catalogue: ", "catalogue : "),
    (r"\bmarket, cohort median on-demand, (\d+) providers\b", r"marché, médiane à la demande de \1 fournisseurs"),
    (r", (\d+) days old\b", r", il y a \1 jours"),
    (r"; range assumed\b", " ; étendue supposée"),
)
_CHIP = re.compile(r"(.+): (scale\w+|tdp_watts|\w+_gb\w*|\w+_tflops) ([\d.]+), assumed (.+)")


def phrases_in_french(text: str) -> str:
    """The text with the phrases that are known in French; other words stay as they are."""
    if chip := _CHIP.fullmatch(text):
        return f"{chip[1]} : {chip[2]} {chip[3]}, supposé : {_replaced(chip[4], _ASSUMED)}"
    return _replaced(text, _PHRASES)


def _replaced(text: str, phrases: tuple[tuple[str, str], ...]) -> str:
    for form, french in phrases:
        text = re.sub(form, french, text)
    return text
