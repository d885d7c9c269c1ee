"""Where lines of a page may break, and how much room a table asks for."""

from __future__ import annotations

import pytest

from centime.charts.kinds import Table
from centime.charts.unbroken import NEEDS, command, room_of, unbroken


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("x 0.979 – x 0.990", "x\u00a00.979\u00a0– x\u00a00.990"),
        ("80 %: 1.57 GW to 2.47 GW", "80\u00a0%: 1.57\u00a0GW to 2.47\u00a0GW"),
        ("$9.397 M", "$9.397\u00a0M"),
        ("-2.2 %", '<span class="whole">-2.2</span>\u00a0%'),
        ("15,9 Md$ (3 jours)", "15,9\u00a0Md$ (3 jours)"),
        ("100 T tokens", "100\u00a0T tokens"),
        ("4 Bits", "4 Bits"),
        ("max 3, xx 4", "max 3, xx 4"),
        ("$5.97 (2026-03-16)", '$5.97 <span class="whole">(2026-03-16)</span>'),
        ("since 2025-07, so", 'since <span class="whole">2025-07,</span> so'),
        ("deepseek-r1", "deepseek-r1"),
        ("ep=256, schedule=dualpipe", "ep=256,<wbr> schedule=<wbr>dualpipe"),
        ("<b> & `centime plan`", '&lt;b&gt; &amp; <code><span class="whole">centime</span> <span class="whole">plan'),
    ],
)
def test_a_figure_stands_with_its_unit_and_a_date_in_one_piece(text: str, html: str) -> None:
    assert str(unbroken(text)).startswith(html)


def test_a_command_breaks_between_its_words_alone() -> None:
    words = (f'<span class="whole">{word}</span>' for word in ("a", "--b", "&#39;&lt;&#39;"))
    assert command("a --b '<'") == f"<code>{' '.join(words)}</code>"


def test_a_table_asks_for_the_room_of_its_longest_pieces() -> None:
    rooms = [room_of(Table("", ["", *["h"] * columns], [["row", *["12,345 M"] * columns]])) for columns in range(1, 16)]
    assert list(dict.fromkeys(rooms)) == ["", "wide", "broad", "widest"]
    assert [kind for _, kind in NEEDS] == ["", "wide", "broad"]
    assert room_of(Table("", [], [])) == ""
    assert room_of(Table("", ["", "a"], [["row", "words " * 50]])) == ""  # which fold
    assert room_of(Table("", ["", "a"], [["row", "w" * 80]])) == "wide"
