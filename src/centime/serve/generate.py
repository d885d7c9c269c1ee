"""Tokens out of a model, one sequence at a time or a greedy batch, over the latent cache.

This is the small path behind `centime generate`, `centime chat` and the generated tasks of `evaluate`; it has no
scheduler and no batching of different prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from centime.errors import UserError
from centime.model import LatentCache, Transformer
from centime.serve.sampling import Sampler, Sampling
from centime.serve.text import TextStream

if TYPE_CHECKING:
    from centime.data.tokenizer import Tokenizer

PREFILL_CHUNK = 512  # prompt tokens a forward pass; bounds the memory of their logits, [chunk, V]
SMALLEST_CACHE = 1024  # tokens; a cache that has to grow is doubled and its sequence computed again

Finish = Literal["end", "stop", "max-tokens", "context", "interrupted"]


@dataclass(frozen=True)
class Answer:
    """One answer and what it took. Times in seconds; `reused_tokens` of the prompt were in the cache already.

    finish: "end" (the model ended it), "stop" (a stop string), "max-tokens", "context" (no position left) or
    "interrupted" (Ctrl-C).
    """

    text: str
    tokens: list[int]
    prompt_tokens: int
    reused_tokens: int
    finish: Finish
    prefill_seconds: float
    decode_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens drawn after the first, one decoding step each, per second; 0 when there was no second one."""
        steps = len(self.tokens) - (self.finish != "end")  # an end-of-text token was drawn too
        return steps / self.decode_seconds if steps > 0 and self.decode_seconds > 0 else 0.0


class Session:
    """A model, its tokenizer and one sequence's cache, kept from answer to answer.

    A prompt that begins with what the cache holds (the next turn of a chat) is computed only from where it differs.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.context = model.config.max_position_embeddings
        self._cache: LatentCache | None = None
        self._cached: list[int] = []  # the tokens whose latents the cache holds

    def answer(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        write: Callable[[str], None] = lambda piece: None,
    ) -> Answer:
        """Generates after the token ids `prompt`, giving each piece of text to `write` as soon as it is certain.

        Raises UserError on an empty or too long prompt, tokens the model does not know, or max_tokens below 1.
        Ctrl-C ends the answer, not the program.
        """
        ids = self._checked(prompt, max_tokens)
        room = min(max_tokens, self.context - len(ids))
        sampler, text = Sampler(sampling), TextStream(self.tokenizer.decode, stop)
        pieces: list[str] = []
        tokens: list[int] = []
        finish: Finish = "max-tokens" if room == max_tokens else "context"

        def give(piece: str) -> None:
            if piece:
                pieces.append(piece)
                write(piece)

        reused = self._prepare(ids, room)
        begun = first = time.perf_counter()
        try:
            logits = self._forward(ids[reused:])
            first = time.perf_counter()
            while True:
                token = sampler.draw(logits[: self.tokenizer.vocab_size])
                if token == self.tokenizer.eos_id:
                    finish = "end"
                    break
                tokens.append(token)
                give(text.push(token))
                if text.stopped:
                    finish = "stop"
                    break
                if len(tokens) == room:
                    break
                logits = self._forward([token])
        except KeyboardInterrupt:
            finish = "interrupted"
        give(text.finish())
        if text.stopped:  # completed only by the last, unfinished character
            finish = "stop"
        return Answer("".join(pieces), tokens, len(ids), reused, finish, first - begun, time.perf_counter() - first)

    def _checked(self, prompt: Sequence[int], max_tokens: int) -> list[int]:
        ids, vocabulary = list(prompt), self.model.config.vocab_size
        if max_tokens < 1:
            raise UserError(f"max tokens is {max_tokens}; ask for at least 1.")
        if not ids:
            raise UserError("the prompt has no token; give at least one character.")
        if len(ids) >= self.context:
            raise UserError(
                f"the prompt is {len(ids):,} tokens long and the model has {self.context:,} positions, one of which "
                "the answer needs; shorten the prompt, or extend the model's context (the `context` stage of a recipe)."
            )
        if max(ids) >= vocabulary:
            raise UserError(
                f"the tokenizer gave token {max(ids)}, the model knows {vocabulary:,} tokens; "
                "the tokenizer in the folder is not this model's."
            )
        return ids

    def _prepare(self, ids: list[int], room: int) -> int:
        """Makes the cache hold a beginning of `ids` and have space for the rest and the answer; how many it holds."""
        same = next((i for i, (a, b) in enumerate(zip(self._cached, ids, strict=False)) if a != b), None)
        same = min(len(self._cached), len(ids)) if same is None else same
        same = min(same, len(ids) - 1)  # the last token is computed anyway: its logits begin the answer
        need = len(ids) + room
        if self._cache is None or self._cache.capacity < need:
            weight = self.model.head_weight
            capacity = min(self.context, max(SMALLEST_CACHE, 1 << (need - 1).bit_length()))
            self._cache = LatentCache(self.model.config, 1, capacity, weight.dtype, weight.device)
            same = 0
        self._cache.truncate(same)
        self._cached = ids[:same]
        return same

    @torch.inference_mode()
    def _forward(self, ids: list[int]) -> Tensor:
        """Appends `ids` to the cache; the logits [V] of the last one."""
        cache = self._cache
        assert cache is not None
        for start in range(0, len(ids), PREFILL_CHUNK):
            chunk = ids[start : start + PREFILL_CHUNK]
            logits = self.model(torch.tensor([chunk], device=self.model.head_weight.device), cache=cache)
            self._cached += chunk
        last: Tensor = logits[0, -1]
        return last


@torch.inference_mode()
def greedy(
    model: Transformer, prompts: Sequence[Sequence[int]], *, max_tokens: int, end: int | None, batch_size: int = 64
) -> list[list[int]]:
    """The most likely continuation of every prompt, up to `end` (not included) or `max_tokens`; in the prompts' order.

    Prompts of one length run together, at most `batch_size` at a time, so that no padding enters the arithmetic.
    Raises UserError when a prompt is empty or leaves no room for `max_tokens` in the context.
    """
    longest = max(map(len, prompts), default=1)
    if min(map(len, prompts), default=1) == 0:
        raise UserError("a prompt is empty; give at least one token.")
    if longest + max_tokens > model.config.max_position_embeddings:
        raise UserError(
            f"a prompt of {longest} tokens and an answer of {max_tokens} need more than the model's "
            f"{model.config.max_position_embeddings} positions; shorten one of them."
        )
    was_training = model.training
    model.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    start = 0
    while start < len(by_length):
        length = len(prompts[by_length[start]])
        group = [i for i in by_length[start : start + batch_size] if len(prompts[i]) == length]
        start += len(group)
        _greedy_group(model, prompts, group, answers, max_tokens, end)
    model.train(was_training)
    return answers


def _greedy_group(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    group: list[int],
    answers: list[list[int]],
    max_tokens: int,
    end: int | None,
) -> None:
    """Continues prompts of one length together until each has ended."""
    weight = model.head_weight
    ids = torch.tensor([list(prompts[i]) for i in group], device=weight.device)
    cache = LatentCache(model.config, len(group), ids.shape[1] + max_tokens, weight.dtype, weight.device)
    open_ones = set(range(len(group)))
    for _ in range(max_tokens):
        ids = model(ids, cache=cache)[:, -1].argmax(-1, keepdim=True)
        for row in sorted(open_ones):
            token = int(ids[row])
            if token == end:
                open_ones.discard(row)
            else:
                answers[group[row]].append(token)
        if not open_ones:
            return
