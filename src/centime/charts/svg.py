"""Elements of HTML and SVG as text in which everything that is not an element of ours is escaped."""

from __future__ import annotations

from markupsafe import Markup

SHAPES = {"circle", "line", "path", "polygon", "polyline", "rect"}  # closed at once where they hold nothing


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """`<name key="value">children</name>`. Attributes whose value is None are left out; `class_` is written class,
    `aria_label` aria-label, a number to two decimals."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value if isinstance(value, str) else short(value))
        for key, value in attributes.items()
        if value is not None
    )
    if name in SHAPES and not children:
        return Markup("<{}{}/>").format(name, written)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, joined(*children))


def joined(*parts: str) -> Markup:
    """The parts one after the other, what is not an element escaped."""
    return Markup("").join(parts)


def short(value: float) -> str:
    """Two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """0.25 -> '25%', of the picture's width."""
    return f"{short(100 * share)}%"


def text(words: str, x: float, y: float, *, kind: str, anchor: str = "start", shift: float | None = None) -> Markup:
    """Text at a share of the width and a height in pixels, `shift` pixels to the right."""
    return element("text", words, x=percent(x), y=y, dx=shift or None, class_=kind, text_anchor=anchor)


def rule(kind: str, x: tuple[float, float], y: tuple[float, float]) -> Markup:
    """A straight line between shares of the width and heights in pixels."""
    return element("line", class_=kind, x1=percent(x[0]), x2=percent(x[1]), y1=y[0], y2=y[1])
