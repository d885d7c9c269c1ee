"""`centime doctor`: what works on this machine, what is missing, and the command that mends it."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (docs/doctor.md names its keys).")] = False,
) -> None:
    """Look at versions, libraries, devices, prices, disks and CENTIME_HOME.

    The exit code is 1 when something needed is broken, else 0.
    """
    from centime.doctor import examine

    found = examine.examine()
    tree = examine.as_json(found)
    if as_json:
        typer.echo(json.dumps(tree, indent=2))
    else:
        wide = max(len(finding.check) for finding in found)
        for finding in found:
            typer.echo(f"{finding.state:6}  {finding.check:{wide}}  {finding.found}")
            if finding.todo:
                typer.echo(f"{'':{wide + 10}}{finding.todo}")
    raise typer.Exit(0 if tree["ok"] else 1)
