"""The rows of a stage of reinforcement: none is known before it is drawn, so what a plan sees is their shape alone."""

from __future__ import annotations

import torch

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.recipe import Rl
from centime.train.stages import Batch, Rows
from centime.tune.problems import Problem, ProblemSource, open_problems
from centime.tune.rewards import require_answers
from centime.tune.sampling import Prompts

LOOKED_AT = 64  # held-out problems whose prompts are measured


class AnswerRows(Rows):
    """Problems by number; `batch` makes rows as long as the longest answer may be, to be timed and never learned."""

    def __init__(self, section: Rl, tokenizer: Tokenizer, seed: int) -> None:
        """Raises UserError on problems that cannot be read, have no answer to compare with, or do not fit the rows."""
        self.section, self.seed = section, seed
        self.problems: ProblemSource = open_problems(section.problems, seed)
        self.held_out: list[Problem] = self.problems.held_out()
        self.fingerprint = self.problems.fingerprint
        require_answers(self.held_out, section.reward)
        prompts = Prompts(tokenizer, chat=section.problems.chat)
        self._prompts = [prompts(problem) for problem in self.held_out[:LOOKED_AT]]
        longest, mean = max(map(len, self._prompts)), sum(map(len, self._prompts)) / len(self._prompts)
        self.longest = longest + section.max_tokens  # tokens of a row
        if self.longest > section.sequence_length:
            raise UserError(
                f"a prompt of {longest} tokens and an answer of max_tokens = {section.max_tokens} need more than "
                f"sequence_length = {section.sequence_length}; raise it, or lower max_tokens."
            )
        self.tokens_per_row = mean + section.max_tokens

    def batch(self, first: int, count: int, rank: int, world: int) -> Batch:
        asked = [self._prompts[(first + i) % len(self._prompts)] for i in range(count)]
        most = self.section.max_tokens
        rows = torch.zeros(count, max(map(len, asked)) + most, dtype=torch.int64)
        weights = torch.zeros(count, rows.shape[1] - 1)
        for i, prompt in enumerate(asked):
            rows[i, : len(prompt)] = torch.tensor(prompt)
            weights[i, len(prompt) - 1 : len(prompt) - 1 + most] = 1.0
        lengths = torch.tensor([len(prompt) + most - 1 for prompt in asked])
        return Batch(rows, float(weights.sum()), count, int(lengths.sum()), weights, lengths)

    def prompt(self) -> list[int]:
        return self._prompts[0]
