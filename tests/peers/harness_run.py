"""Runs in the harness's own environment: `python harness_run.py FOLDER < runs.json`, the samples to standard output.

A run is {"model_args": {...}, "tasks": [names], "limit": n or null}; FOLDER has the tasks, and the harness's own five
thousand, whose index takes it ten seconds, are left out.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(folder: str) -> None:
    from lm_eval import simple_evaluate  # type: ignore[import-not-found]
    from lm_eval.tasks import TaskManager  # type: ignore[import-not-found]

    runs: list[dict[str, Any]] = json.load(sys.stdin)
    told = []
    for run in runs:
        found = simple_evaluate(
            model="local-completions",
            model_args=run["model_args"],
            tasks=run["tasks"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            batch_size=run["batch_size"],
            limit=run["limit"],
            bootstrap_iters=0,
        )
        samples = {
            name: [
                {"doc": one["doc"], "asked": one["arguments"], "told": one["filtered_resps"]}
                for one in sorted(ones, key=lambda one: one["doc_id"])
            ]
            for name, ones in found["samples"].items()
        }
        told.append({"samples": samples, "results": found["results"]})
    json.dump(told, sys.stdout, default=str)


if __name__ == "__main__":
    main(sys.argv[1])
