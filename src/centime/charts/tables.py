"""A chart's numbers as a table: what the terminal prints, and what stands beside every picture of the page."""

from __future__ import annotations

from collections.abc import Sequence

from centime.charts.kinds import (
    BarChart,
    Chart,
    Format,
    Intervals,
    LineChart,
    StackedBars,
    Table,
    Timeline,
    Tornado,
    Waterfall,
)

MOST_ROWS = 13  # of a line chart's table, evenly spaced


def as_table(section: Chart | Table) -> Table:
    """The chart's numbers; a table as it is."""
    match section:
        case Table():
            return section
        case BarChart():
            rows = [[label, _figure(section, label, v)] for label, v in section.bars]
            return _made(section, ["", section.unit], rows)
        case StackedBars():
            return _stacked(section)
        case LineChart():
            return _lines(section)
        case Tornado():
            return _tornado(section)
        case Waterfall():
            rows = [[section.start[0], _figure(section, *section.start)]]
            rows += [[label, signed(section.format(v), v)] for label, v in section.steps]
            rows.append([section.end[0], _figure(section, *section.end)])
            return _made(section, ["", section.unit], rows, total=True)
        case Timeline():
            return _timeline(section)


def signed(text: str, value: float) -> str:
    """The text of an amount that is added: with a plus where it is positive."""
    return f"+{text}" if value > 0 else text


def with_interval(text: str, label: str, intervals: Intervals, written: Format) -> str:
    """The figure of a label, and its interval in brackets where it has one."""
    if label not in intervals:
        return text
    low, high = intervals[label]
    return f"{text} ({written(low)} – {written(high)})"


def _figure(section: BarChart | StackedBars | Waterfall, label: str, value: float) -> str:
    return with_interval(section.format(value), label, section.intervals, section.format)


def _made(
    section: Chart,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    total: bool = False,
) -> Table:
    return Table(section.title, head, rows, section.note, total)


def _stacked(section: StackedBars) -> Table:
    """Parts down, bars across; a part that a bar lacks is a dash, and the sums stand last."""
    parts = dict.fromkeys(part for _, of in section.bars for part in of)
    rows = [[part, *(section.format(of[part]) if part in of else "–" for _, of in section.bars)] for part in parts]
    rows.append([section.unit, *(_figure(section, label, sum(of.values())) for label, of in section.bars)])
    return _made(section, ["", *(label for label, _ in section.bars)], rows, total=True)


def _lines(section: LineChart) -> Table:
    """About a dozen x of the longest line (of dots where there is no other), and what every line and the ends of its
    band say there."""
    longest = max((line.points for line in section.lines if not line.dots), key=len, default=())
    longest = longest or max((line.points for line in section.lines), key=len, default=())
    picked = sorted({round(i * (len(longest) - 1) / (MOST_ROWS - 1)) for i in range(MOST_ROWS)}) if longest else []
    head = [section.x_title]
    columns: list[dict[float, str]] = []
    for line in section.lines:
        head.append(line.name)
        columns.append({x: section.format(y) for x, y in line.points})
        if line.band:
            head.append("–")
            columns.append({x: f"{section.format(low)} – {section.format(high)}" for x, low, high in line.band})
    rows = [[section.format_x(longest[i][0]), *(column.get(longest[i][0], "–") for column in columns)] for i in picked]
    return _made(section, head, rows)


def _tornado(section: Tornado) -> Table:
    rows = [
        [
            lever.label,
            f"{section.format(lever.low)}" + (f" ({lever.low_input})" if lever.low_input else ""),
            f"{section.format(lever.high)}" + (f" ({lever.high_input})" if lever.high_input else ""),
        ]
        for lever in section.widest_first
    ]
    return _made(section, [f"{section.unit}: {section.format(section.base)}", "−", "+"], rows)


def _timeline(section: Timeline) -> Table:
    """Time by kind and lane."""
    rows = []
    for label, spans in section.lanes:
        spent = [sum(s.end - s.start for s in spans if s.kind == kind) for kind in section.kinds]
        rows.append([label, *(section.format(v) for v in spent)])
    return _made(section, [section.unit, *section.kinds], rows)
