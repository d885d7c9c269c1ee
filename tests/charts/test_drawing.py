"""Every chart is inside its frame, escaped, and told to a screen reader; what has no place on its axes is counted."""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.browser import NewPage

from centime.charts.draw import chart_file, draw_chart
from centime.charts.heat_map import load_image
from centime.charts.kinds import (
    BarChart,
    Chart,
    Lever,
    Line,
    LineChart,
    Span,
    StackedBars,
    Timeline,
    Tornado,
    Waterfall,
)
from centime.charts.lines import PLOT, bucketed
from centime.charts.picture import ACROSS

anything = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(-1e9, 1e9, allow_nan=False)
TITLE = 'A "title" & <b>'


def lines_of(points: list[tuple[float, float]], **options: object) -> LineChart:
    return LineChart(TITLE, "units", "x", [Line("one", points)], **options)  # type: ignore[arg-type]


CHARTS: list[Chart] = [
    BarChart(TITLE, "s", [("one", 1.0), ("less than nothing", -2.0)]),
    StackedBars(TITLE, "s", [("step", {"compute": 3.0, "bubble": 1.0}), ("other", {"bubble": 2.0})]),
    lines_of([(1, 10), (2, 1000)], log_y=True, marks=[(1.4, "a mark with a long name that is folded")]),
    lines_of([(1, 5)], level=(6, "the level")),
    Tornado(TITLE, "USD", 1.0, [Lever("price", -1.0, 3.0), Lever("load", 0.5, 1.5)]),
    Waterfall(TITLE, "USD", ("A", 5.0), [("chip", 3.0), ("price", -2.0)], ("B", 6.0)),
    Timeline(TITLE, "s", [("lane", [Span(0, 1, "F"), Span(1, 3, "B")]), ("1", [Span(1, 2, "F")])]),
]


@given(
    st.lists(st.tuples(anything, anything), max_size=30),
    st.booleans(),
    st.sampled_from([False, True, None]),
    st.sampled_from([False, True, None]),
)
def test_every_line_is_drawn_inside_its_frame(
    points: list[tuple[float, float]], log_x: bool, log_y: bool | None, from_zero: bool | None
) -> None:
    points.sort(key=lambda point: (math.isnan(point[0]), point[0]))
    chart = lines_of(points, log_x=log_x, log_y=log_y, from_zero=from_zero)
    drawn = draw_chart(chart, script=True)
    numbers = re.sub(r'(aria-label|data-points)="[^"]*"|<desc>[^<]*</desc>', "", drawn)
    assert "nan" not in numbers
    assert "inf" not in numbers
    for x, y in re.findall(r"([\d.e-]+),([\d.e-]+)", " ".join(re.findall(r' points="([^"]*)"', numbers))):
        assert 0 <= float(x) <= ACROSS
        assert 0 <= float(y) <= PLOT
    assert all(0 <= float(x) <= 100 for x in re.findall(r'[xc]x?\d?="([\d.-]+)%"', numbers))


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=700), st.integers(1, 50))
def test_buckets_keep_the_extremes_and_the_mean(points: list[tuple[float, float]], most: int) -> None:
    buckets = bucketed(points, most)
    assert len(buckets) == min(len(points), most)
    assert min(b[2] for b in buckets) == min(y for _, y in points)
    assert max(b[3] for b in buckets) == max(y for _, y in points)
    assert all(b[2] - 1e-3 <= b[1] <= b[3] + 1e-3 for b in buckets)


def test_what_a_logarithmic_axis_cannot_show_is_said() -> None:
    drawn = draw_chart(lines_of([(1, 1.0), (2, 0.0), (3, -4.0), (4, 10.0), (5, 100.0)], log_y=True))
    assert "Not shown: 2 values without a place on these axes." in drawn
    assert "logarithmic" in drawn
    assert drawn.count("<polyline") == 1  # the line ends where it has no value
    assert drawn.count("<circle") == 1  # and a value alone is a dot
    assert "Not shown" not in draw_chart(lines_of([(1, 1.0), (2, 0.0)]))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: type(chart).__name__)
def test_every_chart_is_escaped_and_has_a_name_and_a_description(chart: Chart) -> None:
    drawn = draw_chart(chart)
    root = ElementTree.fromstring(f"<div>{drawn}</div>")  # well formed
    images = [one for one in root.iter() if one.get("role") == "img"]
    assert [(one.get("aria-label") or "").startswith(TITLE) for one in images] == [True]
    said = images[0].findtext("desc") or (images[0].get("aria-label") or "").removeprefix(TITLE)
    assert len(said) > 5
    assert " style=" not in drawn  # a page's policy may forbid it


def test_a_file_has_a_title_a_description_and_its_colours() -> None:
    root = ElementTree.fromstring(chart_file(CHARTS[2]))  # type: ignore[arg-type]
    name = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{name}title") == TITLE
    assert "one from 10 to 1,000" in (root.findtext(f"{name}desc") or "")
    assert "--c0" in (root.findtext(f"{name}style") or "")
    with pytest.raises(ValueError, match="no value"):
        chart_file(lines_of([]))


def test_load_pictures_hold_the_loads() -> None:
    uri = load_image([[1.0, 4.0, 9.0], [0.0, 0.25, 0.5]])
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        found[kind] = body
        at += 12 + length
    assert struct.unpack(">II", found[b"IHDR"][:8]) == (3, 2)
    pixels = zlib.decompress(found[b"IDAT"])
    opacity = [pixels[row * 13 + 1 + 4 * column + 3] for row in range(2) for column in range(3)]
    assert opacity == [0, 255, 255, 255, 255, 128]  # the mean is bare; four times, nothing and a quarter are full
    warm = [pixels[row * 13 + 1 + 4 * column] > 128 for row in range(2) for column in range(3)]
    assert warm[1:] == [True, True, False, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_tells_the_name_and_the_description_of_a_picture(
    scheme: str, tmp_path: Path, new_page: NewPage
) -> None:
    """As its accessibility tree has them; and the colours are those of the scheme."""
    path = tmp_path / "chart.svg"
    path.write_text(chart_file(CHARTS[2]))  # type: ignore[arg-type]
    page = new_page(path.as_uri(), color_scheme=scheme)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    told = [
        (node["name"]["value"], node.get("description", {}).get("value", ""))
        for node in tree
        if node.get("role", {}).get("value") in {"image", "img"} and node["name"]["value"]
    ]
    assert [name for name, _ in told] == [TITLE]
    assert told[0][1].startswith("units against x")
    ground = page.evaluate("getComputedStyle(document.querySelector('.page')).fill")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
