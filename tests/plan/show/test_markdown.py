"""Sections as Markdown, line by line."""

from __future__ import annotations

from centime.plan.show.markdown import markdown
from centime.plan.show.sections import BarChart, Figure, Figures, Notes, Section, Table, Waterfall


def lines(*sections: Section) -> list[str]:
    text = markdown("A | B", sections)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    return text.splitlines()


def test_a_heading_alone() -> None:
    assert lines() == [r"### A \| B"]


def test_figures_have_no_head_and_stand_out() -> None:
    assert lines(Figures([Figure("Cost", "$5", "a_b"), Figure("Days", "3")]))[2:] == [
        "| | | |", "|---|---:|---|", r"| Cost | **$5** | a\_b |", "| Days | **3** |  |",
    ]  # fmt: skip


def test_the_last_row_of_sums_alone_is_bold_and_of_it_no_empty_cell() -> None:
    rows = [["one", "1", "x"], ["all", "1", ""]]
    for total, last in ((True, "| **all** | **1** |  |"), (False, "| all | 1 |  |")):
        assert lines(Table("T", ["", "n", "of"], rows, total=total))[2:] == [
            "**T**", "", "|  | n | of |", "|---|---:|---:|", "| one | 1 | x |", last,
        ]  # fmt: skip
    assert lines(Table("", ["a"], [["b"]], "A *note*."))[2:] == ["| a |", "|---|", "| b |", "", r"A \*note\*."]


def test_notes_are_a_list_and_charts_the_table_of_their_numbers() -> None:
    assert lines(Notes("Sources", ["one\ntwo", "<b>"]))[2:] == ["**Sources**", "", "- one two", r"- \<b\>"]
    assert lines(Notes("", ["one"]))[2:] == ["- one"]
    assert "| one | 1 |" in lines(BarChart("Bars", "s", [("one", 1.0)]))
    assert lines(Waterfall("W", "USD", ("A", 1.0), [("x", 1.0)], ("B", 2.0), str)) == lines()
