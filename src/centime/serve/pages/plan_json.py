"""A plan's sections as JSON: texts as the planner words them, charts as numbers with the text of each that is shown.

The page draws figures, tables, notes, stacked bars, lines and timelines; any other chart is sent as the table of its
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from centime.plan.show.drawing import ticks
from centime.plan.show.sections import Figures, Format, LineChart, Notes, Section, StackedBars, Table, Timeline
from centime.plan.show.tables import as_table


def section_json(section: Section) -> dict[str, Any]:
    """One section; `kind` says which: figures, table, notes, stacked, lines or timeline."""
    match section:
        case Figures():
            return {"kind": "figures", "title": section.title, "items": [asdict(i) for i in section.items]}
        case Notes():
            return {"kind": "notes", "title": section.title, "lines": list(section.lines)}
        case StackedBars():
            return _chart("stacked", section) | {"bars": [_bar(label, of, section) for label, of in section.bars]}
        case LineChart():
            return _chart("lines", section) | _lines(section)
        case Timeline():
            return _chart("timeline", section) | _timeline(section)
        case _:
            return {"kind": "table", **_table(as_table(section))}


def _chart(kind: str, section: StackedBars | LineChart | Timeline) -> dict[str, Any]:
    return {
        "kind": kind,
        "title": section.title,
        "unit": section.unit,
        "note": section.note,
        "table": _table(as_table(section)),
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "head": list(table.head),
        "rows": [list(row) for row in table.rows],
        "note": table.note,
        "total": table.total,
    }


def _bar(label: str, parts: Mapping[str, float], section: StackedBars) -> dict[str, Any]:
    written = [{"name": name, "value": value, "text": section.format(value)} for name, value in parts.items()]
    return {"label": label, "total": section.format(sum(parts.values())), "parts": written}


def _lines(section: LineChart) -> dict[str, Any]:
    xs = [x for one in section.lines for x, _ in one.points] + [x for x, _ in section.marks]
    ys = [y for one in section.lines for y in (*(p[1] for p in one.points), *(v for b in one.band for v in b[1:]))]
    return {
        "x_title": section.x_title,
        "log_x": section.log_x,
        "log_y": section.log_y,
        "x_ticks": _ticks(xs, section.log_x, section.format_x),
        "y_ticks": _ticks(ys, section.log_y, section.format),
        "marks": [list(mark) for mark in section.marks],
        "lines": [
            {
                "name": one.name,
                "points": [list(p) for p in one.points],
                "band": [list(b) for b in one.band],
                "dots": one.dots,
            }
            for one in section.lines
        ],
    }


def _timeline(section: Timeline) -> dict[str, Any]:
    """A span is (start, end, which of the kinds)."""
    spans = [span for _, lane in section.lanes for span in lane]
    kinds = list(dict.fromkeys(span.kind for span in spans))
    return {
        "kinds": kinds,
        "x_ticks": _ticks([0.0, *(span.end for span in spans)], False, section.format),
        "lanes": [
            {"label": label, "spans": [[span.start, span.end, kinds.index(span.kind)] for span in lane]}
            for label, lane in section.lanes
        ],
    }


def _ticks(values: Iterable[float], log: bool, write: Format) -> list[tuple[float, str]]:
    """Round numbers along an axis and their texts; on a logarithmic one 1, 2 and 5 times the powers of ten.

    A linear axis whose values reach far down begins at nought, as a plan's own page has it.
    """
    known = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not known:
        return []
    low, high = min(known), max(known)
    if not log:
        found = ticks(0.0 if 0 < low < 0.6 * high else low, high, False)
    else:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high] or [low, high]
    return [(value, write(value)) for value in found]
