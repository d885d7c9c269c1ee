"""Lanes over time: what each does when."""

from __future__ import annotations

from centime.charts.kinds import Timeline
from centime.charts.picture import ACROSS, AXIS, MOST_TICKS, Picture, axis_below, stretched, tone
from centime.charts.scale import Scale, tick_labels
from centime.charts.svg import element, joined, short, text

LANE = 18  # pixels


def draw_lanes(chart: Timeline) -> Picture:
    """The picture: a lane a row, all on one axis of time from zero."""
    end = max((span.end for _, lane in chart.lanes for span in lane), default=0.0)
    time = Scale(0.0, end if end > 0 else 1.0)
    low = LANE * len(chart.lanes)
    body = axis_below(time, tick_labels(time.ticks(MOST_TICKS), chart.format), chart.unit, (0, low))
    shapes = []
    for row, (label, lane) in enumerate(chart.lanes):
        body.append(text(label, 0, row * LANE + 13, kind="tick", anchor="end", shift=-8))
        for index, kind in enumerate(chart.kinds):
            ends = [(ACROSS * time.share(s.start), ACROSS * time.share(s.end)) for s in lane if s.kind == kind]
            boxes = (f"M{short(a)} {row * LANE + 1}H{short(b)}v{LANE - 3}H{short(a)}z" for a, b in ends)
            if ends:
                shapes.append(element("path", d="".join(boxes), class_=f"part {tone(index)}"))
    body.append(stretched(0, low, shapes))
    legend = [(kind, tone(index), "") for index, kind in enumerate(chart.kinds)]
    said = f"{', '.join(chart.kinds)}; {chart.format(end)} {chart.unit}"
    longest = max((label for label, _ in chart.lanes), key=len, default="")
    return Picture(chart.title, said, joined(*body), low + AXIS, longest, legend)
