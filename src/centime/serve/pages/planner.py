"""Plans for the page: one at a time, each in a process that ends when the page no longer waits for it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from centime.catalogue.api_prices import shipped_lists
from centime.catalogue.chips import chip_names
from centime.catalogue.models import names
from centime.errors import UserError
from centime.serve.http.errors import ApiError

LONGEST_S = 120.0
LOOK_EVERY_S = 0.25  # whether the page still waits


class PlanRequest(BaseModel):
    """What the planner's form sends: options of the verb as one would type them, empty where nothing was typed."""

    model_config = ConfigDict(extra="forbid")

    verb: Literal["serve", "train"]
    fields: dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=200)]]


def choices() -> dict[str, Any]:
    """What the form offers: names of models, chips and price lists of the catalogue."""
    lists = sorted({row.model for row in shipped_lists()})
    return {"models": sorted(names(), key=str.lower), "chips": sorted(chip_names()), "prices": lists}


class Planner:
    """Runs plans one after the other, so that however many pages ask, the engine loses one core at most."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    async def plan(self, form: PlanRequest, gone: Callable[[], Awaitable[bool]]) -> dict[str, Any]:
        """The plan (plan_worker.planned). Raises UserError as the planner does, ApiError when it takes too long.

        gone: whether nobody waits for it any more; its process is killed then.
        """
        async with self._one:
            worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "centime.serve.pages.plan_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                out, err = await _unless_gone(worker.communicate(form.model_dump_json().encode()), gone)
            finally:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()
        if worker.returncode not in (0, 2) or not out:
            said = err.decode(errors="replace").strip().rpartition("\n")[2]
            raise ApiError(500, f"The planner failed: {said or f'exit code {worker.returncode}'}.")
        found: dict[str, Any] = json.loads(out)
        if "error" in found:
            raise UserError(found["error"])
        return found


async def _unless_gone(
    work: Awaitable[tuple[bytes, bytes]], gone: Callable[[], Awaitable[bool]]
) -> tuple[bytes, bytes]:
    """The work's result. Raises ApiError when it takes longer than LONGEST_S or nobody waits any more."""
    task = asyncio.ensure_future(work)
    try:
        for _ in range(round(LONGEST_S / LOOK_EVERY_S)):
            done, _ = await asyncio.wait({task}, timeout=LOOK_EVERY_S)
            if done:
                return task.result()
            if await gone():
                raise ApiError(499, "Nobody waits for this plan any more.")
    finally:
        task.cancel()
    raise ApiError(
        503,
        f"The plan takes longer than {LONGEST_S:g} s; ask for less, or run it in a terminal, where it may take longer.",
    )
