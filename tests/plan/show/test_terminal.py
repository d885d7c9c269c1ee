"""Sections as a terminal has them, line by line."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from centime.errors import UserError
from centime.plan.show.language import LANGUAGES, french, spaced, writer
from centime.plan.show.sections import BarChart, Figure, Figures, Notes, Section, Span, Table, Timeline
from centime.plan.show.terminal import GAP, NAME, SHORT, _is_prose, _least, _parts, _widths, print_sections


def shown(*sections: Section, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False, markup=False)
    print_sections(console, sections)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def test_figures_stand_below_each_other_with_their_small_print() -> None:
    head = Figures([Figure("Cost", "$5 M", "80 %: 4 to 6"), Figure("Days", "54.1")], "A head")
    assert shown(head) == ["A head", "Cost  $5 M  80 %: 4 to 6", "Days  54.1", ""]
    assert shown(Figures([Figure("Cost", "$5 M")])) == ["Cost  $5 M", ""]


def test_notes_hang_below_their_dash() -> None:
    assert shown(Notes("Sources", ["one two three", "four"]), width=14) == [
        "Sources",
        " - one two",
        "   three",
        " - four",
        "",
    ]
    assert shown(Notes("", ["a"])) == [" - a", ""]


def test_a_table_has_its_names_left_and_its_figures_right() -> None:
    table = Table("By stage", ["stage", "hours"], [["pretrain", "2"], ["Total", "12"]], "A note.", total=True)
    assert shown(table) == ["By stage", "stage     hours", "pretrain      2", "Total        12", "A note.", ""]
    assert shown(Table("", ["a"], [["b"]])) == ["a", "b", ""]
    assert shown(BarChart("Bars", "s", [("one", 1.0)])) == ["Bars", "     s", "one  1", ""]


def test_the_last_row_of_a_table_of_totals_alone_is_bold() -> None:
    def bold(total: bool) -> list[bool]:
        console = Console(width=40, file=io.StringIO(), force_terminal=True, color_system="standard")
        print_sections(console, [Table("", ["a", "b"], [["c", "1"], ["d", "2"]], total=total)])
        return ["\x1b[1m" in line for line in console.file.getvalue().splitlines()[1:3]]  # type: ignore[attr-defined]

    assert bold(True) == [False, True]
    assert bold(False) == [False, False]


def test_columns_that_do_not_fit_come_in_parts_with_a_line_between() -> None:
    table = Table("T", ["", "first", "second"], [["name", "1,000,000", "2,000,000"]])
    assert shown(table, width=26) == ["T", "          first     second", "name  1,000,000  2,000,000", ""]
    assert shown(table, width=25) == [
        "T",
        "          first",
        "name  1,000,000",
        "",
        "         second",
        "name  2,000,000",
        "",
    ]


def test_parts_are_as_wide_as_their_widest_columns_and_the_gaps() -> None:
    names, *others = [["", "n" * 4], ["a", "1" * 6], ["b", "2" * 6], ["c", "3" * 6]]
    for width, sizes in ((4 + 3 * (GAP + 6), [3]), (4 + 3 * (GAP + 6) - 1, [2, 1]), (4 + 2 * (GAP + 6) - 1, [1, 1, 1])):
        parts = _parts([names, *others], width)
        assert [len(part) - 1 for part in parts] == sizes
        assert all(part[0] is names for part in parts)
    assert [len(part) for part in _parts([names, ["a", "1" * 99]], 20)] == [2]  # one alone, however wide
    long = ["", "n" * 40]
    assert [len(part) for part in _parts([long, ["a", "1" * 6]], NAME + GAP + 6)] == [2]
    assert len(_parts([long, ["a", "1" * 6], ["b", "2" * 6]], NAME + 2 * (GAP + 6))) == 1
    assert len(_parts([long, ["a", "1" * 6], ["b", "2" * 6]], NAME + 2 * (GAP + 6) - 1)) == 2


def test_what_is_left_of_the_width_goes_to_those_that_would_fill_it() -> None:
    words = ["", "some words that fold"]
    figures = ["head", "12"]
    least = [_least(words), _least(figures)]
    assert least == [5, 4]
    assert _widths([words, figures], 100) == [20, 4]
    assert _widths([words, figures], 20) == [20 - 4 - GAP, 4]
    assert _widths([words, figures], 5) == least
    # 9 characters are left: a name that lacks 15 goes before a cell that lacks 17, until it lacks half as many
    assert _widths([words, ["h", "other words of a cell"]], 5 + 5 + GAP + 9) == [5 + 8, 5 + 1]
    assert _widths([["", "n" * 40], ["h", "1"]], 200) == [40, 1]


def test_a_column_of_sentences_is_one_where_most_cells_are() -> None:
    long, short = "x" * (SHORT + 1), "x" * SHORT
    assert _is_prose(["head", long, long, short])
    assert not _is_prose(["head", long, short])
    assert not _is_prose([long, short, short])


def test_figures_and_ranges_stand_on_one_line() -> None:
    assert _least(["a head of words", "1 – 2 GB"]) == 8
    assert _least(["head", "2,470,137 – 3,148,649"]) == 21
    assert _least(["head", "words of text that fold"]) == 5
    assert _least(["head", "1" * 12 + " " + "2" * 12]) == 12  # longer than a figure is
    assert _least([""]) == 1


def test_a_lane_is_a_line_of_letters_for_what_it_mostly_does() -> None:
    lanes = [("0", [Span(0, 4, "forward"), Span(4, 7, "backward")]), ("1", [Span(4, 8, "forward")])]
    drawn = shown(Timeline("Pipeline", "s", lanes, note="A note."), width=10)
    assert drawn[:3] == ["Pipeline", "0 FFFFBBB·", "1 ····FFFF"]
    assert " ".join(drawn[3:]) == "F forward; B backward; 8 s A note. "
    same = [("0", [Span(0, 1, "one"), Span(1, 2, "other")])]
    assert shown(Timeline("T", "s", same), width=4)[1] == "0 OT"
    assert shown(Timeline("T", "s", [("0", [Span(0, 1, "F"), Span(3, 4, "F")])]), width=4)[1] == "0 FF"  # half of it
    assert shown(Timeline("T", "s", [("0", [Span(0, 1, "F"), Span(3.5, 4, "F")])]), width=4)[1] == "0 F·"
    assert shown(Timeline("T", "s", same))[-2] == "O one; T other; 2 s"
    assert shown(Timeline("T", "s", []), width=20) == ["T", "; 0 s", ""]
    assert len(shown(Timeline("T", "s", same), width=300)[1]) == 122


def test_languages() -> None:
    assert writer("en").lines == {}
    assert writer("fr").lines == {english: spaced(line) for english, line in french().items()}
    assert [writer(lang).lang for lang in LANGUAGES] == list(LANGUAGES)
    with pytest.raises(UserError, match="'de' is not a language"):
        writer("de")
    assert spaced("Coût : « 5 % » ; 3 $ ?") == "Coût\u00a0: «\u00a05\u202f%\u00a0»\u00a0; 3\u202f$\u00a0?"
