"""What the page says of spending, in English and in French: an English sentence is its own name."""

from __future__ import annotations

import functools

from centime.messages import Writer
from centime.plan.show.language import LANGUAGES, spaced, writer

FRENCH = {
    "Spent this month": "Dépensé ce mois-ci",
    "{cost} by its end, at this pace": "{cost} à la fin du mois, à ce rythme",
    "Requests": "Requêtes",
    "Tokens": "Jetons",
    "This month, by whom and for what": "Ce mois-ci : par qui, et pour quoi",
    "By team": "Par équipe",
    "By user": "Par utilisateur",
    "By model": "Par modèle",
    "By feature": "Par fonction",
    "By key": "Par clé",
    "In {currency} alone.": "En {currency} seulement.",
    "(none)": "(aucun)",
    "{n:,|other|others}": "{n:,|autre|autres}",
    "Spent so far": "Dépensé jusqu'ici",
    "Days of the month (UTC)": "Jours du mois (UTC)",
    "Spent": "Dépensé",
    "Budgets": "Budgets",
    "Budget": "Budget",
    "Window": "Fenêtre",
    "Limit": "Plafond",
    "Held": "Réservé",
    "Left": "Reste",
    "Spent whole": "Épuisé",
    "Spent whole: the day it ends at the pace of its window so far.": (
        "Épuisé : le jour où il finit, au rythme de sa fenêtre jusqu'ici."
    ),
    "a day": "par jour",
    "a month": "par mois",
    "for ever": "pour toujours",
    "not in this window": "pas dans cette fenêtre",
    "What is left of {budget}": "Ce qui reste de {budget}",
    "Days of its window": "Jours de sa fenêtre",
    "At this pace": "À ce rythme",
    "Keys": "Clés",
    "Key": "Clé",
    "Stands in": "Appartient à",
    "Running": "En cours",
    "no end": "sans fin",
}


@functools.cache
def words(lang: str) -> Writer:
    """What says these sentences in a language. Raises UserError on any but the page's."""
    writer(lang)
    return Writer(lang, {} if lang == LANGUAGES[0] else {one: spaced(line) for one, line in FRENCH.items()})
