"""From the logits of the last position to the next token: greedy, temperature, nucleus (top-p), seeded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How to choose a token. Raises UserError on a value outside its range.

    temperature: divides the logits; 0 is greedy (the most likely token, the lowest id among equals).
    top_p: nucleus sampling (arXiv 1904.09751, section 3.1): the smallest set of most likely tokens whose probability
        reaches top_p; 1 keeps them all. DeepSeek's own evaluations use temperature 0.6 and top_p 0.95.
    seed: the same seed, prompt and machine give the same answer; None draws a seed from the system.
    """

    temperature: float = 0.6
    top_p: float = 0.95
    seed: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UserError(f"temperature is {self.temperature}; give 0 (greedy) or a positive number such as 0.6.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p is {self.top_p}; give a number above 0 and at most 1, such as 0.95.")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}; give a whole number from 0 to 2^63 - 1.")


class Sampler:
    """One answer's stream of draws. The draws are made on the CPU in fp32, so a seed means the same on every device."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)

    def draw(self, logits: Tensor) -> int:
        """The next token id from the logits [V] of one position. Raises UserError when a logit is not a number."""
        scores = logits.detach().to("cpu", torch.float32)
        if bool(torch.isnan(scores).any()) or bool(torch.isposinf(scores).any()):
            raise UserError(
                "the model's logits are not finite: the weights are damaged or overflow in this dtype; "
                "try --dtype float32, or another checkpoint."
            )
        if self.sampling.temperature == 0:
            return int(scores.argmax())
        probabilities = torch.softmax((scores - scores.max()).double() / self.sampling.temperature, dim=-1)
        ordered, ids = probabilities.sort(descending=True, stable=True)
        cumulative = ordered.cumsum(0)
        kept = nucleus_size(cumulative, self.sampling.top_p)
        point = torch.rand((), generator=self.generator, dtype=torch.float64) * cumulative[kept - 1]
        return int(ids[min(int(torch.searchsorted(cumulative[:kept], point, right=True)), kept - 1)])


def nucleus_size(cumulative: Tensor, top_p: float) -> int:
    """How many of the most likely tokens are kept, given their cumulative probabilities [V]; at least 1."""
    if top_p >= 1:
        return len(cumulative)
    return min(int((cumulative < top_p).sum()) + 1, len(cumulative))
