"""A plan as one HTML file, no network, no script: figures, charts with the table of their numbers, notes, its card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from centime.charts.draw import draw_chart
from centime.charts.lines import Say
from centime.charts.page import render
from centime.charts.tables import as_table
from centime.files.output import Output
from centime.files.pages import is_page
from centime.plan.show.language import writer
from centime.plan.show.sections import Figures, LineChart, Notes, Section, Table, Timeline


def write_page(path: Path, title: str, sections: Sequence[Section], lang: str, card: dict[str, Any]) -> None:
    """Writes the page whole or not at all. Raises UserError where it cannot be written."""
    say = writer(lang).say
    page = render(
        "plan/show/plan.html.jinja",
        lang=lang,
        title=title,
        sections=[_shown(section, say) for section in sections],
        numbers=say("The numbers"),
        card_title=say("The card"),
        asked=say("What this plan was asked, with which catalogues: centime plan rerun takes it."),
        card=json.dumps(card, indent=2, ensure_ascii=False),
    )
    page_file(path).write_text(page)


def page_file(path: Path) -> Output:
    """Where a page goes: over nothing but another page of centime's."""
    return Output(path, "a page", "name another --html file", is_page)


def _shown(section: Section, say: Say) -> tuple[str, Section, str, Table | None]:
    """What the template is told of a section: (its kind, itself, its picture, its numbers)."""
    match section:
        case Figures():
            return "figures", section, "", None
        case Notes():
            return "notes", section, "", None
        case Table():
            return "table", section, "", section
        case LineChart() | Timeline():
            return "axes", section, draw_chart(section, say), as_table(section)
        case _:
            return "bars", section, draw_chart(section, say), as_table(section)
