"""The serving engine as a model of the lm-evaluation-harness: likelihoods, texts in windows, and generated answers.

Contexts are cut and encoded as the harness's own `hf` backend does it, so that the same folder gets the same scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import (
    MAX_STOPS,
    Event,
    Finished,
    Piece,
    PromptLogprobs,
    Request,
    SamplingParams,
    TokenLogprob,
    Usage,
)
from centime.serve.engine.settings import EngineSettings
from centime.serve.offline.rollouts import sample_seed

TOGETHER = 64  # requests in progress at once
DEFAULT_ANSWER = 256  # tokens of an answer where a task gives no number, as in the harness's `hf`
Scored = tuple[float, bool]  # log-likelihood, and whether greedy decoding would write it
Pair = tuple[tuple[str, str], list[int], list[int]]  # the texts, the context's tokens, the continuation's


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How answers are drawn; temperature 0 is what each task says, greedy where it says nothing."""

    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0


class EngineLM(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """A model and its tokenizer. told: what every request took, once it is over."""

    def __init__(
        self, model: Transformer, tokenizer: Tokenizer, name: str, sampling: Sampling, told: Callable[[Usage], None]
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.name, self.sampling, self.told = model, tokenizer, name, sampling, told
        self.max_length = model.config.max_position_embeddings
        settings = EngineSettings(step_tokens=2048, max_running=TOGETHER, max_waiting=2**31, block_tokens=16)
        self._engine = Engine(model, tokenizer, settings)  # one for all passes: what they share is read once
        self._drawn = 0  # answers drawn so far: each has a seed of its own

    # -- what the harness asks of a tokenizer

    @property
    def eot_token_id(self) -> int:
        """The end token."""
        return self.tokenizer.eos_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that nothing stands before: the begin token, else the end token."""
        return self.tokenizer.eos_id if self.tokenizer.bos_id is None else self.tokenizer.bos_id

    @property
    def tokenizer_name(self) -> str:
        """Of the harness's own caches."""
        return self.name

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The model's own template, for the harness's record."""
        return self.tokenizer.chat_template if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as text, by the model's own template."""
        return self.tokenizer.render_chat(chat_history, add_generation_prompt)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        """Tokens of a text, after a begin token where the tokenizer puts one and the text has none."""
        ids = self.tokenizer.encode(string)
        begins = self.tokenizer.begins_texts if add_special_tokens is None else add_special_tokens
        bos = self.tokenizer.bos_id
        return ids if not begins or bos is None or ids[:1] == [bos] else [bos, *ids]

    # -- what it asks of a model

    def _loglikelihood_tokens(self, requests: list[Pair], **_: object) -> list[Scored]:
        """Of each pair how likely the continuation is after the context, whose beginning is cut where both are long."""
        pairs = []
        for _texts, context, continuation in requests:
            ids = (context + continuation)[-(self.max_length + 1) :]
            pairs.append((ids, min(len(continuation), len(ids) - 1)))
        return self._scores(pairs)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of each whole text, in windows of the model's context that predict every token once."""
        windows: list[tuple[list[int], int]] = []
        counts = []
        for (text,) in (request.args for request in requests):
            parts = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, 1)
            pairs = [make_disjoint_window(part) for part in parts]
            windows += [(context + predicted, len(predicted)) for context, predicted in pairs]
            counts.append(len(pairs))
        scores = iter(self._scores(windows))
        return [sum(next(scores)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answers, each up to the first of its stop strings, the end token or its number of tokens."""
        asked = []
        for context, kwargs in (request.args for request in requests):
            params = self._params(dict(kwargs))
            room = self.max_length - params.max_tokens
            if room < 1:
                raise UserError(
                    f"the task asks for answers of {params.max_tokens:,} tokens, and the model has {self.max_length:,} "
                    "positions; give the task a smaller max_gen_toks."
                )
            prompt = self.tok_encode(context)[-room:] or [self.prefix_token_id]
            asked.append(_Sent(prompt, params))
            self._drawn += 1
        self._run(asked)
        return [one.text for one in asked]

    def _params(self, kwargs: dict[str, Any]) -> SamplingParams:
        until = kwargs.get("until") or []
        stops = (until,) if isinstance(until, str) else tuple(stop for stop in until if stop)
        if len(stops) > MAX_STOPS:
            raise UserError(f"the task has {len(stops)} stop strings; the engine takes {MAX_STOPS} at most.")
        temperature = float(kwargs.get("temperature", 0.0)) if kwargs.get("do_sample") else 0.0
        ours = self.sampling.temperature > 0
        return SamplingParams(
            max_tokens=int(kwargs.get("max_gen_toks", DEFAULT_ANSWER)),
            temperature=self.sampling.temperature if ours else temperature,
            top_p=self.sampling.top_p if ours else float(kwargs.get("top_p", 1.0)),
            seed=sample_seed(self.sampling.seed, self._drawn, 0),
            stop=stops,
        )

    def _scores(self, pairs: Sequence[tuple[list[int], int]]) -> list[Scored]:
        """Of tokens and how many of the last ones are asked for. The first continuation of a context is scored before
        the others of it, which then find the context in the cache."""
        found = dict[int, Scored]()
        asked, contexts = dict[int, _Sent](), set[tuple[int, ...]]()
        first, others = list[_Sent](), list[_Sent]()
        for number, (ids, last) in enumerate(pairs):
            if last == 0:
                found[number] = (0.0, True)
            elif len(ids) >= self._engine.context:  # as long as the model is: the cache has no room for its last token
                found[number] = self._scored_at_once(ids, last)
            else:
                params = SamplingParams(0, 0.0, prompt_logprobs=1, score_from=len(ids) - last)
                asked[number] = _Sent(ids, params)
                context = tuple(ids[:-last])
                (others if context in contexts else first).append(asked[number])
                contexts.add(context)
        self._run(first)
        self._run(others)
        return [found[number] if number in found else asked[number].scored() for number in range(len(pairs))]

    @torch.inference_mode()
    def _scored_at_once(self, ids: list[int], last: int) -> Scored:
        """The same by one plain pass."""
        logits = self.model(torch.tensor([ids[:-1]], device=self.model.head_weight.device))[0, -last:]
        likely = logits.float().log_softmax(-1)
        wanted = torch.tensor(ids[-last:], device=likely.device)
        total = float(likely.gather(1, wanted[:, None]).sum())
        return total, bool((likely.argmax(-1) == wanted).all())

    def _run(self, asked: Sequence[_Sent]) -> None:
        for one in asked:
            self._engine.submit(one.request)
        told = 0
        while self._engine.step():
            while told < len(asked) and asked[told].end is not None:
                self._tell(asked[told])
                told += 1
        for one in asked[told:]:
            self._tell(one)

    def _tell(self, one: _Sent) -> None:
        assert one.end is not None
        if one.end.error is not None:
            raise UserError(one.end.error)
        self.told(one.end.usage)


class _Sent:
    """A request and what came of it."""

    def __init__(self, prompt: Sequence[int], params: SamplingParams) -> None:
        self.request = Request(prompt, params, self._take)
        self.end: Finished | None = None
        self.text, self._likely = "", list[TokenLogprob]()

    def _take(self, event: Event) -> None:
        if isinstance(event, Piece):
            self.text += event.text
        elif isinstance(event, PromptLogprobs):
            self._likely += event.logprobs
        else:
            self.end = event

    def scored(self) -> Scored:
        """The sum of what was told of the prompt's last tokens, and whether each was the likeliest."""
        return sum(one.logprob for one in self._likely), all(one.best[0][0] == one.token for one in self._likely)
