"""A plan as one HTML file, no network, no script: figures, charts with the table of their numbers, notes, its card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any

from centime import __version__
from centime.files.output import Output
from centime.files.pages import is_page
from centime.plan.show import drawing
from centime.plan.show.language import words
from centime.plan.show.sections import (
    BarChart,
    Figures,
    LineChart,
    Notes,
    Section,
    StackedBars,
    Table,
    Timeline,
    Tornado,
    Waterfall,
)
from centime.plan.show.tables import as_table

STYLE = files("centime.plan.show").joinpath("page.css").read_text(encoding="utf-8")
COLOURS = "".join(
    f".bars i.{c}, .key.{c} {{ background: var(--{c}); }} svg polyline.{c} {{ stroke: var(--{c}); }} "
    f"svg rect.{c}, svg polygon.{c}, svg circle.{c} {{ fill: var(--{c}); }}\n"
    for c in [*(f"c{tone}" for tone in range(drawing.TONES)), "up", "down"]
)


def write_page(path: Path, title: str, sections: Sequence[Section], lang: str, card: dict[str, Any]) -> None:
    """Writes the page whole or not at all. Raises UserError where it cannot be written."""
    say = words(lang)
    body = "".join(_section(section, say("The numbers")) for section in sections)
    made = json.dumps(card, indent=2, ensure_ascii=False)
    asked = say("What this plan was asked, with which catalogues: centime plan rerun takes it.")
    page = (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><meta name="generator" content="centime {__version__}">'
        f"<title>{escape(title)} – centime</title><style>{STYLE}{COLOURS}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{body}<h2>{escape(say('The card'))}</h2>"
        f'<p class="note">{escape(asked)}</p>'
        f'<details><summary>JSON</summary><pre class="card">{escape(made)}</pre></details></main></body></html>\n'
    )
    page_file(path).write_text(page)


def page_file(path: Path) -> Output:
    """Where a page goes: over nothing but another page of centime's."""
    return Output(path, "a page", "name another --html file", is_page)


def _section(section: Section, numbers: str) -> str:
    match section:
        case Figures():
            head = f"<h2>{escape(section.title)}</h2>" if section.title else ""
            facts = "".join(
                f'<div><dt>{escape(item.label)}</dt><dd class="figure">{escape(item.figure)}</dd>'
                f'<dd class="small">{escape(item.small)}</dd></div>'
                for item in section.items
            )
            return f'{head}<dl class="facts">{facts}</dl>'
        case Notes():
            entries = "".join(f"<li>{escape(entry)}</li>" for entry in section.lines)
            return f"<h2>{escape(section.title)}</h2><ul>{entries}</ul>"
        case Table():
            return f"<h2>{escape(section.title)}</h2>{_table(section)}{_note(section.note)}"
    drawn, legend = _drawn(section)
    table = f"<details><summary>{escape(numbers)}</summary>{_table(as_table(section))}</details>"
    caption = f"<figcaption>{escape(section.title)} <span>{escape(section.unit)}</span></figcaption>"
    return f"<h2></h2><figure>{caption}{drawn}{drawing.legend(legend)}{_note(section.note)}{table}</figure>"


def _drawn(
    section: BarChart | StackedBars | LineChart | Tornado | Waterfall | Timeline,
) -> tuple[str, list[tuple[str, str]]]:
    match section:
        case BarChart():
            return drawing.bars(section), []
        case StackedBars():
            return drawing.stacked(section)
        case LineChart():
            return drawing.lines(section)
        case Tornado():
            return drawing.tornado(section), []
        case Waterfall():
            return drawing.waterfall(section), []
        case Timeline():
            return drawing.timeline(section)


def _note(note: str) -> str:
    return f'<p class="note">{escape(note)}</p>' if note else ""


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    last = len(table.rows) - 1
    rows = "".join(
        ('<tr class="total">' if table.total and index == last else "<tr>")
        + "".join(_cell(head, cell) for head, cell in zip_longest(table.head, row, fillvalue=""))
        + "</tr>"
        for index, row in enumerate(table.rows)
    )
    return f'<div class="scroll"><table class="rows"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(head: str, cell: str) -> str:
    """A cell that knows its column, for pages on which a row is stacked."""
    bare = ' class="bare"' if cell in {"", "–"} else ""
    return f'<td data-head="{escape(head)}"{bare}>{escape(cell)}</td>'
