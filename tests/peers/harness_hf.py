"""Runs in the harness's environment: `python harness_hf.py MODEL FOLDER TASKS...`, results of its own `hf` backend."""

from __future__ import annotations

import json
import sys


def main(model: str, folder: str, *tasks: str) -> None:
    from lm_eval import simple_evaluate  # type: ignore[import-not-found]
    from lm_eval.tasks import TaskManager  # type: ignore[import-not-found]

    found = simple_evaluate(
        model="hf",
        model_args=f"pretrained={model},dtype=float32",
        tasks=list(tasks),
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        batch_size=4,
        bootstrap_iters=0,
        device="cpu",
    )
    written = [one["filtered_resps"][0] for one in found["samples"]["write"]]
    json.dump({"results": found["results"], "written": written}, sys.stdout, default=str)


if __name__ == "__main__":
    main(*sys.argv[1:])
