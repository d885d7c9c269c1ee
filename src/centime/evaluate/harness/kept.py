"""Results of tasks as a file: written whole, read back to be compared."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from centime.catalogue.home import centime_home
from centime.errors import UserError
from centime.evaluate.harness.scores import Document, TaskScore
from centime.files.output import Output

FORMAT = 1


@dataclass(frozen=True)
class Results:
    """What a model scored. question: as it was asked (`Question.as_json`); spent: what it took, in the bill's words."""

    model: str
    date: str
    question: dict[str, Any]
    scores: list[TaskScore]
    spent: dict[str, Any]

    @classmethod
    def now(cls, model: str, question: dict[str, Any], scores: list[TaskScore], spent: dict[str, Any]) -> Results:
        """Of this moment."""
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(model, date, question, scores, spent)

    def as_json(self) -> dict[str, Any]:
        """All of it, means and intervals too."""
        tasks = [
            {**asdict(score), "mean": score.mean, "interval": score.interval, "passes": score.passes}
            for score in self.scores
        ]
        head = {"format": FORMAT, "model": self.model, "date": self.date, "question": self.question}
        return {**head, "tasks": tasks, "spent": self.spent}


def place_for(results: Results) -> Path:
    """Where results are kept unless a file is named: by model and moment, in the user's own folder."""
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in results.model)[-100:]
    moment = results.date.replace(":", "").replace("+0000", "Z")
    return centime_home() / "evaluations" / f"{name}-{moment}.json"


def results_file(path: Path, inputs: Iterable[Path] = ()) -> Output:
    """The file for results, over nothing but earlier ones; `require_writable` before they are worked for."""
    return Output(path, "results of tasks", "name another --out", _is_ours, inputs, parents=True)


def keep(results: Results, path: Path) -> None:
    """Writes them, whole or not at all. Raises UserError where the file is somebody else's or cannot be written."""
    results_file(path).write_text(json.dumps(results.as_json(), ensure_ascii=False, indent=1) + "\n")


def _is_ours(path: Path) -> bool:
    read(path)
    return True


def read(path: Path) -> Results:
    """Results that `keep` wrote. Raises UserError on anything else."""
    try:
        found = json.loads(path.read_text())
        if found["format"] != FORMAT:
            raise UserError(f"{path} is of format {found['format']}, this centime reads {FORMAT}; evaluate again.")
        scores = [
            TaskScore(
                task["task"],
                task["filter"],
                task["metric"],
                {
                    key: Document(tuple(map(float, one["scores"])), tuple(one["answers"]))
                    for key, one in task["documents"].items()
                },
                task["value"],
                bool(task["higher_is_better"]),
            )
            for task in found["tasks"]
        ]
        return Results(str(found["model"]), str(found["date"]), dict(found["question"]), scores, dict(found["spent"]))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} has no results of tasks, as `centime evaluate --tasks` writes them.") from None
