"""HTML pages of our own: templates beside the code that fills them, over one base page with the style of all."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from centime.charts.picture import STYLE
from centime.charts.unbroken import command, room_of, unbroken
from centime.version import version


def render(template: str, **values: Any) -> str:
    """The page of a template, named by its path in centime, such as "train/report/report.html.jinja"."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("centime", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"unbroken": unbroken, "command": command, "room": room_of}
    here = files("centime.charts")
    environment.globals |= {
        "version": version(),
        "style": Markup(STYLE + here.joinpath("page.css").read_text(encoding="utf-8")),
        "hover": Markup(here.joinpath("hover.js").read_text(encoding="utf-8")),
    }
    return environment
