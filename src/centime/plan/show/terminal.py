"""The sections of a plan as text: every chart is the table of its numbers, and short bars where they help."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable

from centime.charts.tables import as_table
from centime.plan.show.sections import Figures, Notes, Section, Table, Timeline

GAP = 2  # between columns
NAME = 18  # characters of a row's name that stand together; longer words fold
SHORT = 24  # characters of a cell that is a figure, or two with a dash between them


def print_sections(console: Console, sections: Sequence[Section]) -> None:
    """Prints the sections of a plan in order."""
    for section in sections:
        show(console, section)


def show(console: Console, section: Section) -> None:
    """Prints one section, a blank line after it."""
    match section:
        case Figures():
            _figures(console, section)
        case Notes():
            _notes(console, section)
        case Timeline():
            _timeline(console, section)
        case _:
            _table(console, as_table(section))
    console.print()


def _figures(console: Console, section: Figures) -> None:
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(justify="right", style="bold", no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for item in section.items:
        grid.add_row(item.label, item.figure, item.small)
    if section.title:
        console.print(section.title, style="bold")
    console.print(grid)


def _notes(console: Console, section: Notes) -> None:
    """A dash before every sentence, its other lines under its first."""
    if section.title:
        console.print(section.title, style="bold")
    grid = RichTable.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for line in section.lines:
        grid.add_row(" -", line)
    console.print(grid)


def _table(console: Console, table: Table) -> None:
    """The table, in as many parts, each with the rows' names, as its columns need at the console's width."""
    if table.title:
        console.print(table.title, style="bold")
    columns = [[head, *(row[i] for row in table.rows)] for i, head in enumerate(table.head)]
    for number, part in enumerate(_parts(columns, console.width)):
        if number:
            console.print()
        out = RichTable(box=None, pad_edge=False)
        for column, width in zip(part, _widths(part, console.width), strict=True):
            right = column is not part[0] and not _is_prose(column)
            out.add_column(column[0], justify="right" if right else "left", width=width, overflow="fold")
        for index, row in enumerate(zip(*(column[1:] for column in part), strict=True)):
            out.add_row(*row, style="bold" if table.total and index == len(table.rows) - 1 else None)
        console.print(out)
    if table.note:
        console.print(table.note, style="dim")


def _parts(columns: Sequence[Sequence[str]], width: int) -> list[list[Sequence[str]]]:
    """The columns in groups that fit side by side after the first one."""
    names = columns[0]
    parts: list[list[Sequence[str]]] = [[names]]
    for column in columns[1:]:
        needed = min(_least(names), NAME) + sum(GAP + _least(one) for one in [*parts[-1][1:], column])
        if len(parts[-1]) > 1 and needed > width:
            parts.append([names])
        parts[-1].append(column)
    return parts


def _widths(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Of each column: what it needs, and what is left to those that would fill it."""
    found = [min(_least(columns[0]), NAME), *map(_least, columns[1:])]
    natural = [max(map(len, column)) for column in columns]
    for _ in range(max(0, width - sum(found) - GAP * (len(found) - 1))):
        wanting = max(range(len(found)), key=lambda i: (natural[i] - found[i]) * (1 if i else 2))
        if found[wanting] >= natural[wanting]:
            break
        found[wanting] += 1
    return found


def _is_prose(column: Sequence[str]) -> bool:
    """Whether most cells below the head are sentences rather than figures."""
    return sum(len(cell) > SHORT for cell in column[1:]) > len(column[1:]) / 2


def _least(column: Sequence[str]) -> int:
    """Characters of width that a column needs so that no word breaks, and no figure (two of them with a dash between)
    stands on two lines: they have no word of three letters."""
    figures = [cell for cell in column[1:] if len(cell) <= SHORT and not re.search(r"[^\W\d_]{3}", cell)]
    return max(map(len, [*figures, *(word for cell in column for word in cell.split())]), default=1)


def _timeline(console: Console, section: Timeline) -> None:
    """A line a lane, a letter for what it does most of the time that the letter stands for; a dot where it waits."""
    letters: dict[str, str] = {}
    for kind in dict.fromkeys(span.kind for _, spans in section.lanes for span in spans):
        letters[kind] = next(c for c in [*kind.upper(), *"0123456789"] if c.isalnum() and c not in letters.values())
    names = max((len(label) for label, _ in section.lanes), default=0)
    width = min(120, console.width - names - 1)
    end = max((span.end for _, spans in section.lanes for span in spans), default=0.0)
    console.print(section.title, style="bold")
    for label, spans in section.lanes:
        cells = [dict[str, float]() for _ in range(width)]
        for span in spans:
            first, last = span.start / end * width, span.end / end * width
            for i in range(int(first), min(width, int(last) + 1)):
                share = min(last, i + 1) - max(first, i)
                cells[i][letters[span.kind]] = cells[i].get(letters[span.kind], 0.0) + share
        line = "".join(max(of, key=of.__getitem__) if sum(of.values()) >= 0.5 else "·" for of in cells)
        console.print(f"{label:<{names}} {line}", no_wrap=True)
    legend = [f"{letter} {kind}" for kind, letter in letters.items()]
    console.print(f"{'; '.join(legend)}; {section.format(end)} {section.unit}", style="dim")
    if section.note:
        console.print(section.note, style="dim")
