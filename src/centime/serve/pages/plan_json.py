"""A plan's sections as JSON: texts as the planner words them, charts drawn, each with the table of its numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from centime.charts.draw import draw_chart
from centime.charts.kinds import Table
from centime.charts.lines import Say
from centime.charts.tables import as_table
from centime.plan.show.sections import Figures, Notes, Section


def section_json(section: Section, say: Say) -> dict[str, Any]:
    """One section; `kind` says which: figures, table, notes or chart. A chart's `picture` is an element of HTML, every
    text in it escaped; `say` speaks the section's language."""
    match section:
        case Figures():
            return {"kind": "figures", "title": section.title, "items": [item._asdict() for item in section.items]}
        case Notes():
            return {"kind": "notes", **asdict(section)}
        case Table():
            return {"kind": "table", **asdict(section)}
        case _:
            picture = draw_chart(section, say, script=True)
            table = asdict(as_table(section))
            return {"kind": "chart", "title": section.title, "note": section.note, "picture": picture, "table": table}
