"""Computes one plan in a process of its own: a form as JSON on standard input, the plan as JSON on standard output.

Exit code 2 with {"error": sentence} for input that makes no plan. It imports the planner alone, so that it starts at
once, and it makes way for the engine, whose machine it shares.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from centime.catalogue import models
from centime.catalogue.sizes import is_stated
from centime.errors import UserError, nearest
from centime.plan.show.language import LANGUAGES, writer
from centime.plan.verbs import Plan, sections, title
from centime.serve.pages.plan_json import section_json
from centime.units import parse_count

T = TypeVar("T")


def planned(verb: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """The plan that the fields ask for: title and sections in every language, the command that makes the same.

    fields: the options of `centime plan serve` or `centime plan train`, without dashes, as one would type them; empty
    ones are left out. Raises UserError as the planner does, and for a model that is neither in the catalogue nor sizes:
    a folder's name would let whoever reaches the page look around this machine, one of the Hub's send it there.
    """
    given = {name: text.strip() for name, text in fields.items() if text.strip()}
    model = given.get("model", "")
    if models.known(model) is None and not is_stated(model):
        raise UserError(f"There is no model called {model!r} in the catalogue.{nearest(model, models.names())}")
    plan = _serving(given) if verb == "serve" else _training(given)
    command = ["centime", "plan", verb]
    for name, text in given.items():
        command += [f"--{name.replace('_', '-')}", text]
    return {
        "title": {lang: title(plan, lang) for lang in LANGUAGES},
        "sections": {
            lang: [section_json(section, writer(lang).say) for section in sections(plan, lang)] for lang in LANGUAGES
        },
        "command": shlex.join(command),
    }


def _serving(given: Mapping[str, str]) -> Plan:
    from centime.plan.serving.planner import plan_serving
    from centime.plan.serving.request import ServingRequest, parse_demand, parse_milliseconds

    gpus = _read(given, "gpus", parse_count)
    return plan_serving(
        ServingRequest(
            model=given["model"],
            gpu=_needed(given, "gpu"),
            gpus=None if gpus is None else int(gpus),
            demand=_read(given, "demand", parse_demand),
            isl=_read(given, "isl", parse_count),
            osl=_read(given, "osl", parse_count),
            hit=_read(given, "hit", parse_count) or 0.0,
            ttft_s=parse_milliseconds(given.get("ttft", "5s"), "ttft"),
            tpot_s=parse_milliseconds(given.get("tpot", "50ms"), "tpot"),
            precision=given.get("precision"),
            price=given.get("price"),
            date=given.get("date"),
            prices=given.get("prices"),
        )
    )


def _training(given: Mapping[str, str]) -> Plan:
    from centime.plan.training.plan import plan_training
    from centime.plan.training.request import TrainingRequest, whole

    seq, batch = _read(given, "seq", parse_count), _read(given, "global_batch", parse_count)
    return plan_training(
        TrainingRequest(
            model=given["model"],
            tokens=parse_count(_needed(given, "tokens")),
            gpu=_needed(given, "gpu"),
            gpus=whole("gpus", parse_count(_needed(given, "gpus"))),
            seq=None if seq is None else whole("seq", seq),
            global_batch=None if batch is None else whole("global_batch", batch),
            precision=given.get("precision"),
            layout=given.get("layout"),
            price=given.get("price"),
            date=given.get("date"),
            region=given.get("region", "any"),
        )
    )


def _read(given: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T | None:
    return parse(given[name]) if name in given else None


def _needed(given: Mapping[str, str], name: str) -> str:
    if name not in given:
        raise UserError(f"{name} is missing; a plan needs it.")
    return given[name]


def main() -> int:
    """Reads, plans, writes; the process's exit code."""
    os.nice(10)
    form = json.load(sys.stdin)
    try:
        json.dump(planned(form["verb"], form["fields"]), sys.stdout)
    except UserError as error:
        json.dump({"error": str(error)}, sys.stdout)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
