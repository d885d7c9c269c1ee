"""From problems to graded groups: prompts as tokens, the roll-out engine's samples, their texts, their grades."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from centime.data.tokenizers import ChatEncoder, Tokenizer
from centime.model import Transformer
from centime.recipe.rl_section import ReinforcementSection
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.rollouts import Rollout, RolloutEngine
from centime.tune.groups import Drawn, Group, Sample
from centime.tune.problems import Problem, ProblemSource
from centime.tune.rewards import AnswerText, Grader

PLACES = 2**20  # prompts of a step that may be drawn: the place of each in a run is a number of its own
EVALUATION = 2**62  # the place from which evaluations draw


class Prompts:
    """Problems as the ids that a model is asked with: by its chat template, or as they are."""

    def __init__(self, tokenizer: Tokenizer, *, chat: bool) -> None:
        self._tokenizer, self._encoder = tokenizer, ChatEncoder(tokenizer) if chat else None

    def __call__(self, problem: Problem) -> list[int]:
        if self._encoder is not None:
            return self._encoder.ids([{"role": "user", "content": problem.prompt}], add_generation_prompt=True)
        start = [] if self._tokenizer.bos_id is None else [self._tokenizer.bos_id]
        return [*start, *self._tokenizer.encode(problem.prompt)]


class Sampler:
    """Asks a model under training, and grades what it answers.

    Every draw is a function of the run's seed and its place (step, prompt, sample), so that a step that is taken again
    from the same weights gets the same answers.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        settings: ReinforcementSection,
        grader: Grader,
        seed: int,
        *,
        deterministic: bool = False,
    ) -> None:
        self._model, self._tokenizer, self._settings, self._grader, self._seed = (
            model,
            tokenizer,
            settings,
            grader,
            seed,
        )
        self.prompt = Prompts(tokenizer, chat=settings.problems.chat)
        self._engine = RolloutEngine(model, tokenizer, deterministic=deterministic, rescored=False)
        self._drawn_with = SamplingParams(max_tokens=settings.max_tokens, temperature=settings.temperature)
        self._likeliest = SamplingParams(max_tokens=settings.max_tokens, temperature=0.0)

    def step(
        self, source: ProblemSource, step: int, first: int, progress: float, grading: Callable[[], None]
    ) -> tuple[Drawn, int]:
        """The groups of a step whose prompts begin with problem `first`, and the number of the first one after them.

        grading is called where the answers are there and their grades are not. Groups without a signal are replaced by
        those of further prompts, `redraws` times at most.
        """
        settings, at = self._settings, first
        drawn = Drawn([], 0, 0, 0)
        wanted, kept = settings.prompts, list[Group]()
        for attempt in range(settings.redraws + 1):
            problems = [source.problem(at + i, progress) for i in range(wanted - len(kept))]
            groups = self._groups(problems, step * PLACES + at - first, drawn, grading)
            at += len(problems)
            kept += groups if attempt == settings.redraws else [group for group in groups if not group.silent]
            if len(kept) >= wanted:
                break
            drawn.redrawn += wanted - len(kept)
        drawn.groups = kept
        return drawn, at

    def _groups(
        self, problems: Sequence[Problem], place: int, drawn: Drawn, grading: Callable[[], None]
    ) -> list[Group]:
        prompts = [self.prompt(problem) for problem in problems]
        found = self._sample(prompts, self._settings.samples, self._drawn_with, place)
        grading()
        answers = [self._answer(problem, one) for problem, own in zip(problems, found, strict=True) for one in own]
        grades = iter(self._grader(answers))
        groups = [
            Group(
                problem,
                prompt,
                [Sample(one.tokens, one.drawn_logprobs, one.finish == "length", next(grades)) for one in own],
            )
            for problem, prompt, own in zip(problems, prompts, found, strict=True)
        ]
        drawn.drawn += len(answers)
        drawn.prompt_tokens += sum(map(len, prompts))
        drawn.answer_tokens += sum(len(one.tokens) for own in found for one in own)
        return groups

    def evaluate(self, problems: Sequence[Problem]) -> Drawn:
        """The likeliest answer to each."""
        prompts = [self.prompt(problem) for problem in problems]
        found = self._sample(prompts, 1, self._likeliest, EVALUATION)
        grades = self._grader([self._answer(problem, own[0]) for problem, own in zip(problems, found, strict=True)])
        groups = [
            Group(problem, prompt, [Sample(own[0].tokens, own[0].drawn_logprobs, own[0].finish == "length", grade)])
            for problem, prompt, own, grade in zip(problems, prompts, found, grades, strict=True)
        ]
        answered = sum(len(own[0].tokens) for own in found)
        return Drawn(groups, len(groups), sum(map(len, prompts)), answered)

    def _sample(
        self, prompts: Sequence[Sequence[int]], samples: int, params: SamplingParams, place: int
    ) -> list[list[Rollout]]:
        was_training = self._model.training
        self._model.eval()
        self._engine.refresh()  # the weights have changed; and what was asked before must not change a bit of this
        try:
            return self._engine.sample(prompts, samples, params, seed=self._seed, place=place)
        finally:
            self._model.train(was_training)

    def _answer(self, problem: Problem, found: Rollout) -> AnswerText:
        cut = found.finish == "length"
        kept = found.tokens if cut else found.tokens[:-1]
        return AnswerText(problem, self._tokenizer.decode(kept), cut, len(found.tokens))

    def text(self, sample: Sample) -> str:
        """An answer as a person reads it."""
        return self._tokenizer.decode(sample.tokens if sample.cut else sample.tokens[:-1])
