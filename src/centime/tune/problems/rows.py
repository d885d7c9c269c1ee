"""Problems of a file: a JSON object a line, by the names that people's files have for a question and its answer."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.input_files import read_text
from centime.json_files import parse_json
from centime.recipe.rl_section import ProblemsSection
from centime.tune.problems.problem import Problem

PROMPTS = ("prompt", "question", "problem", "instruction", "input", "text")  # MATH: problem; MBPP: text
ANSWERS = (
    "answer",
    "solution",
    "target",
    "output",
    "code",
    "canonical_solution",
)  # GSM8K: answer, after ####; MATH: solution, in \boxed{}
HELD_OUT_ONE_IN = 10


class RowProblems:
    """The rows of `source`, in a new order every time that all were asked."""

    def __init__(self, settings: ProblemsSection, seed: int) -> None:
        """Raises UserError naming the file, and the line that is no problem."""
        every = read_problems(Path(settings.source))
        if settings.held_out is not None:
            self._train, held_out = every, read_problems(Path(settings.held_out))
        else:
            self._train = [one for one in every if not _is_held_out(one)]
            held_out = [one for one in every if _is_held_out(one)]
        if not self._train or not held_out:
            raise UserError(
                f"{settings.source} has {len(every):,} problems, too few to hold some out; name others in "
                "rl.problems.held_out."
            )
        self._held_out, self._seed = held_out[: settings.held_out_count], seed
        text = "\n".join(f"{one.prompt}\t{one.answer}" for one in self._train)
        self.fingerprint = f"{len(self._train)} rows, crc {zlib.crc32(text.encode('utf-8', 'replace')):08x}"
        self._order: tuple[int, list[int]] = (-1, [])

    def problem(self, number: int, progress: float) -> Problem:
        epoch, place = divmod(number, len(self._train))
        if self._order[0] != epoch:
            order = list(range(len(self._train)))
            random.Random(f"rows {self._seed} {epoch}").shuffle(order)
            self._order = epoch, order
        return self._train[self._order[1][place]]

    def held_out(self) -> list[Problem]:
        return list(self._held_out)


def read_problems(path: Path) -> list[Problem]:
    """The problems of a .jsonl, or of a .json that holds a list. Raises UserError naming the line that is none."""
    text = read_text(path, "a file of problems (.jsonl)")
    if text.lstrip()[:1] == "[":
        found = parse_json(text, str(path))
        return [problem_of(row, f"{path}, item {i}") for i, row in enumerate(found, start=1)]
    lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    problems = [problem_of(parse_json(line, f"{path}, line {n}"), f"{path}, line {n}") for n, line in lines]
    if not problems:
        raise UserError(f"{path} has no line; expected one JSON object a line, with a prompt and an answer.")
    return problems


def problem_of(row: Any, where: str) -> Problem:
    """A row as a problem: GSM8K's answer is what follows ####, MATH's what its last \\boxed{} holds; '' without one."""
    if not isinstance(row, Mapping):
        raise UserError(f"{where} is no JSON object; expected one with {PROMPTS[0]} and {ANSWERS[0]}.")
    prompt = next((row[key] for key in PROMPTS if isinstance(row.get(key), str) and row[key].strip()), None)
    if prompt is None:
        raise UserError(f"{where} has no question: none of {', '.join(PROMPTS)} is a text. It has {_keys(row)}.")
    answer = next((row[key] for key in ANSWERS if isinstance(row.get(key), str | int | float)), "")
    return Problem(prompt, final_answer(str(answer)), dict(row))


def final_answer(text: str) -> str:
    """What a worked answer comes to: after the last '####' (GSM8K), in the last \\boxed{} (MATH), else all of it."""
    if "####" in text:
        return text.rpartition("####")[2].strip()
    return boxed(text) or text.strip()


def boxed(text: str) -> str | None:
    """The inside of the last \\boxed{...}, braces in it balanced; None where there is none, or it never ends."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for at in range(start + len("\\boxed"), len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : at].strip()
    return None


def _keys(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(row)[:8])) or "nothing"


def _is_held_out(problem: Problem) -> bool:
    return zlib.crc32(problem.prompt.encode("utf-8", "replace")) % HELD_OUT_ONE_IN == 0
