"""A model through tasks of the lm-evaluation-harness, in one pass or several; scores of every document out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import lm_eval.evaluator
import yaml
from lm_eval.tasks import TaskManager

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.evaluate.harness.engine_lm import EngineLM, Sampling
from centime.evaluate.harness.scores import Document, TaskScore
from centime.model import Transformer
from centime.serve.engine.request import Usage

# The harness asks git for a hash of the folder that it is run in, which says "fatal" where there is none.
lm_eval.evaluator.get_git_commit_hash = lambda: None
R1 = Sampling(temperature=0.6, top_p=0.95)  # how DeepSeek-R1 was evaluated (R1 report, section 3)


@dataclass(frozen=True)
class Question:
    """What is asked of a model. tasks: names of the harness's, or YAML files. shots: examples before each document;
    None: as many as a task says. limit: documents of a task at most. seeds: passes over the tasks whose answers are
    written, sampled as R1's were where there are several. chat: each document as a message of the user."""

    tasks: tuple[str, ...]
    shots: int | None = None
    limit: int | None = None
    seeds: int = 1
    seed: int = 0
    chat: bool = False
    include: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """What makes two results comparable."""
        return {
            "tasks": list(self.tasks),
            "shots": self.shots,
            "limit": self.limit,
            "seeds": self.seeds,
            "seed": self.seed,
            "chat": self.chat,
            "harness": importlib.metadata.version("lm_eval"),
        }


@dataclass
class _Gathered:
    """One metric of one task while passes go on: scores and answers of each document, in the order of the passes."""

    scores: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)


def score_tasks(
    model: Transformer, tokenizer: Tokenizer, name: str, question: Question, told: Callable[[Usage], None]
) -> list[TaskScore]:
    """Every metric of every task. told: what each request took.

    Raises UserError on a task that is none, whose documents cannot be had, or that the model cannot be asked.
    """
    manager, names = _tasks(question)
    written: dict[tuple[str, str, str], _Gathered] = {}
    scores: list[TaskScore] = []
    sampling = R1 if question.seeds > 1 else Sampling()
    lm = EngineLM(model, tokenizer, name, sampling, told)
    for number in range(question.seeds):
        lm.sampling = replace(sampling, seed=question.seed + number)
        outcome = _pass(lm, manager, names, question, question.seed + number)
        for task, samples in outcome["samples"].items():
            _gather(written, task, samples)
        if number == 0:
            scores = _whole(outcome, written)
            names = [task for task in names if _is_written(outcome, task)]
        if not names:
            break
    better = outcome["higher_is_better"]
    for (task, filter_, metric), gathered in written.items():
        documents = {
            key: Document(tuple(found), tuple(gathered.answers.get(key, ()))) for key, found in gathered.scores.items()
        }
        up = bool((better.get(task) or {}).get(metric, True))
        scores.append(TaskScore(task, filter_, metric, documents, higher_is_better=up))
    return sorted(scores, key=lambda one: (one.task, one.metric, one.filter))


def _tasks(question: Question) -> tuple[TaskManager, list[str]]:
    """What knows the tasks, and their names."""
    files = [Path(task) for task in question.tasks if task.endswith((".yaml", ".yml"))]
    names = [task for task in question.tasks if not task.endswith((".yaml", ".yml"))]
    folders = {str(question.include)} if question.include else set()
    for file in files:
        try:
            described = yaml.load(file.read_text(), Loader=_Loose)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{file} is no task: {reason}; give a YAML file of the harness.") from None
        if not isinstance(described, dict) or not isinstance(described.get("task"), str):
            raise UserError(f"{file} is no task: it has no `task: NAME`; give a YAML file of the harness.")
        names.append(described["task"])
        folders.add(str(file.parent.resolve()))
    if question.include is not None and not question.include.is_dir():
        raise UserError(f"{question.include} is no folder; --include takes one with task files of the harness.")
    manager = TaskManager(include_path=sorted(folders) or None, include_defaults=len(files) < len(question.tasks))
    unknown = [name for name in names if not manager.match_tasks([name])]
    if unknown:
        raise UserError(
            f"the harness has no task {', '.join(map(repr, unknown))}; `lm_eval ls tasks` lists those it has, "
            "and a path to a .yaml file is a task of yours."
        )
    return manager, names


class _Loose(yaml.SafeLoader):  # type: ignore[misc]
    """Reads what stands beside the name of a task, `!function` and `include` among it, as nothing."""


_Loose.add_multi_constructor("!", lambda *_: None)


def _pass(lm: EngineLM, manager: TaskManager, names: Sequence[str], question: Question, seed: int) -> dict[str, Any]:
    """The harness's own results of one pass. It and what it loads with show progress of their own: ours is enough."""
    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    try:
        found: dict[str, Any] = lm_eval.simple_evaluate(
            model=lm,
            tasks=list(names),
            num_fewshot=question.shots,
            limit=question.limit,
            task_manager=manager,
            apply_chat_template=question.chat,
            bootstrap_iters=0,
            log_samples=True,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=1234 + seed,  # the harness's own of a first pass
            verbosity="ERROR",
        )
    except (UserError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # of the harness, of the library that loads documents, of a task's own functions
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"the harness could not run {', '.join(names)}: {reason}. Documents come from the Hugging "
            "Face Hub unless a task names files."
        ) from error
    return found


def _is_written(outcome: dict[str, Any], task: str) -> bool:
    """Whether answers of the task are texts that were generated: another pass gives others."""
    subtasks = outcome["group_subtasks"].get(task) or [task]
    kinds = {(outcome["configs"].get(one) or {}).get("output_type") for one in subtasks}
    return "generate_until" in kinds


def _gather(written: dict[tuple[str, str, str], _Gathered], task: str, samples: Sequence[dict[str, Any]]) -> None:
    for sample in samples:
        key = sample.get("doc_hash") or _hash(sample["doc"])
        for metric in sample["metrics"]:
            score = sample[metric]
            if not isinstance(score, int | float | bool) or not math.isfinite(score):
                continue  # parts of a perplexity, which only together mean something
            gathered = written.setdefault((task, sample["filter"], metric), _Gathered())
            gathered.scores.setdefault(key, []).append(float(score))
            answer = sample["filtered_resps"][0] if sample["filtered_resps"] else None
            if isinstance(answer, str):
                gathered.answers.setdefault(key, []).append(answer)


def _whole(outcome: dict[str, Any], written: dict[tuple[str, str, str], _Gathered]) -> list[TaskScore]:
    """Metrics that are no mean over documents, perplexities for one: the harness's value, taken out of `written`."""
    scores = []
    for task in outcome["samples"]:
        for name, value in outcome["results"][task].items():
            metric, _, filter_ = name.partition(",")
            if not filter_ or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            gathered = written.get((task, filter_, metric))
            if gathered is not None:
                numbers = [number for found in gathered.scores.values() for number in found]
                if math.isclose(sum(numbers) / len(numbers), value, rel_tol=1e-6, abs_tol=1e-9):
                    continue
                del written[task, filter_, metric]
            up = bool((outcome["higher_is_better"].get(task) or {}).get(metric, False))
            scores.append(TaskScore(task, filter_, metric, {}, value=float(value), higher_is_better=up))
    return scores


def _hash(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
