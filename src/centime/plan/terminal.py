"""The sections of a plan as text: every chart is the table of its numbers, and short bars where they help."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable

from centime.plan.numbers import as_table
from centime.plan.sections import Figures, Notes, Section, Table


def show(console: Console, section: Section) -> None:
    """Prints one section, a blank line after it."""
    match section:
        case Figures():
            _figures(console, section)
        case Notes():
            _notes(console, section)
        case _:
            _table(console, as_table(section))
    console.print()


def _figures(console: Console, section: Figures) -> None:
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right", style="bold")
    grid.add_column(style="dim")
    for item in section.items:
        grid.add_row(item.label, item.figure, item.small)
    if section.title:
        console.print(section.title, style="bold")
    console.print(grid)


def _notes(console: Console, section: Notes) -> None:
    if section.title:
        console.print(section.title, style="bold")
    for line in section.lines:
        console.print(Padding(f"- {line}", (0, 0, 0, 1)))


def _table(console: Console, table: Table) -> None:
    out = RichTable(title=table.title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, head in enumerate(table.head):
        out.add_column(head, justify="left" if index == 0 else "right")
    for index, row in enumerate(table.rows):
        out.add_row(*row, style="bold" if table.total and index == len(table.rows) - 1 else None)
    console.print(out)
    if table.note:
        console.print(table.note, style="dim")
