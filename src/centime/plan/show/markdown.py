"""The sections of a plan as Markdown: what a comment on a change, an issue or a page of notes takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from centime.charts.tables import as_table
from centime.plan.show.sections import Figures, Notes, Section, Table, Waterfall


def markdown(title: str, sections: Sequence[Section]) -> str:
    """A heading, tables for figures and tables, lists for notes. A waterfall shows what a table before it says."""
    blocks = [f"### {_cell(title)}"]
    for section in sections:
        match section:
            case Figures():
                blocks.append("\n".join(_figures(section)))
            case Notes():
                heading = [f"**{_cell(section.title)}**", ""] if section.title else []
                blocks.append("\n".join([*heading, *(f"- {_cell(line)}" for line in section.lines)]))
            case Waterfall():
                continue
            case _:
                blocks.append("\n".join(_table(as_table(section))))
    return "\n\n".join(blocks) + "\n"


def _figures(section: Figures) -> Iterator[str]:
    yield from ("| | | |", "|---|---:|---|")
    for item in section.items:
        yield f"| {_cell(item.label)} | **{_cell(item.figure)}** | {_cell(item.small)} |"


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield from (f"**{_cell(table.title)}**", "")
    yield "| " + " | ".join(map(_cell, table.head)) + " |"
    yield "|---" + "|---:" * (len(table.head) - 1) + "|"
    for index, row in enumerate(table.rows):
        last = table.total and index == len(table.rows) - 1
        yield "| " + " | ".join(f"**{_cell(cell)}**" if last and cell else _cell(cell) for cell in row) + " |"
    if table.note:
        yield from ("", _cell(table.note))


def _cell(text: str) -> str:
    """Text that neither ends a cell nor means anything in Markdown but itself."""
    out = " ".join(str(text).split())
    for mark in "\\`*_[]<>|":
        out = out.replace(mark, f"\\{mark}")
    return out
