"""What a report shows, looked up by what a person would look for: a table by its title, a row by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from centime.plan.show.sections import Figures, Notes, Section, Table

Kind = TypeVar("Kind", bound=Section)


def one(sections: Sequence[Section], kind: type[Kind], title: str) -> Kind:
    """The only section of a kind and a title."""
    (found,) = (section for section in sections if isinstance(section, kind) and section.title == title)
    return found


def rows(sections: Sequence[Section], title: str) -> dict[str, list[str]]:
    """The cells of each row of a table, by the row's name."""
    table = one(sections, Table, title)
    assert all(len(row) == len(table.head) for row in table.rows)
    found = {row[0]: list(row[1:]) for row in table.rows}
    assert len(found) == len(table.rows)
    return found


def figures(sections: Sequence[Section]) -> dict[str, tuple[str, str]]:
    """(figure, small print) of the head's figures, by their labels."""
    return {
        item.label: (item.figure, item.small) for head in sections if isinstance(head, Figures) for item in head.items
    }


def notes(sections: Sequence[Section], title: str) -> list[str]:
    """The lines of the notes of a title."""
    return list(one(sections, Notes, title).lines)
