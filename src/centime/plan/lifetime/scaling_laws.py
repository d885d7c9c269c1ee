"""What loss a model of so many parameters reaches on so many tokens, dense and sparse; constants as published.

Dense: L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al., arXiv 2203.15556, equation 2; approach 3). Losses are in
nats per token of the data and tokenizer of the fit, so that only differences between models mean anything here:
"equal quality" is equal predicted loss under one law.

Sparse: an effective parameter count, after Clark et al. (arXiv 2202.01169, section 5): a mixture with N active
parameters is worth `leverage * N` dense ones. On the compute-optimal frontier of the dense law such a mixture needs
`leverage` times less compute for the same loss (minimise A / (sN)^alpha + B / D^beta at 6ND = C: with N' = sN it is the
dense problem at compute sC), which is what Ling's "efficiency leverage" measures, so the two notions are one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from centime.errors import UserError, nearest
from centime.plan.counts.reshape import Sparsity

MAX_TOKENS_PER_PARAM = (
    10_000.0  # as far as Sardana et al. (arXiv 2401.00448, section 4) trained; no law is checked beyond
)


@dataclass(frozen=True)
class LossLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta, N in parameters, D in training tokens, L in nats per token."""

    name: str
    E: float
    A: float
    B: float
    alpha: float
    beta: float
    source: str

    def loss(self, params: float, tokens: float) -> float:
        """Predicted loss of `params` parameters after `tokens` tokens, nats per token."""
        return float(self.E + self.A / params**self.alpha + self.B / tokens**self.beta)

    def tokens_for(self, loss: float, params: float) -> float:
        """Tokens after which `params` parameters reach `loss`; infinity when no number of tokens does."""
        left = loss - self.E - self.A / params**self.alpha
        return float((self.B / left) ** (1 / self.beta)) if left > 0 else math.inf


LOSS_LAWS = {
    law.name: law
    for law in (
        LossLaw(
            "besiroglu", 1.8172, 482.01, 2085.43, 0.3478, 0.3658,
            "Besiroglu et al., arXiv 2404.10102, section 3: Hoffmann's approach 3 fitted again",
        ),
        LossLaw(
            "hoffmann", 1.69, 406.4, 410.7, 0.34, 0.28,
            "Hoffmann et al., arXiv 2203.15556, equation 10 (rounded as printed)",
        ),
        LossLaw(
            "sardana", 1.69, 406.4, 410.7, 0.336, 0.283,
            "Sardana et al., arXiv 2401.00448, section 2: Hoffmann's constants as used there",
        ),
    )
}  # fmt: skip


def loss_law(name: str) -> LossLaw:
    """The law of that name; UserError with the nearest name otherwise."""
    if name not in LOSS_LAWS:
        raise UserError(f"{name!r} is not a scaling law; take one of {', '.join(LOSS_LAWS)}.{nearest(name, LOSS_LAWS)}")
    return LOSS_LAWS[name]


def ling_leverage(sparsity: Sparsity, active_params: float, tokens: float) -> float:
    """Efficiency leverage of Tian et al. (Ling; arXiv 2507.17702, section 4.3, the joint law and its table).

    EL = A_hat^(alpha + gamma (log2 G)^2 + beta log2 G), alpha = a + d log10 C, A_hat the activation ratio saturated as
    Clark's E_hat is. Fitted on C = 1e18 to 6e20 FLOP, checked at 1e22 (EL 7 at A = 3.1 %, G = 12); beyond that it is an
    extrapolation. Relative to the same law's own value at A = 1, so that a dense model has leverage 1.
    """
    a, d, gamma, beta, start, top = 1.23, -7.61e-2, 1.67e-2, -1.17e-1, 1.63e-2, 5.28e16
    compute = 6 * active_params * tokens
    fine = math.log2(max(sparsity.granularity, 1.0))
    exponent = a + d * math.log10(compute) + gamma * fine**2 + beta * fine

    def saturated(activation: float) -> float:
        return 1 / (1 / (activation + 1 / (1 / start - 1 / top)) + 1 / top)

    return float((saturated(sparsity.activation) / saturated(1.0)) ** exponent)


def clark_leverage(sparsity: Sparsity, active_params: float, tokens: float) -> float:
    """Effective parameter count over N, Clark et al. (arXiv 2202.01169, equations 1 and 11; S-BASE of table 3).

    log10 L = a log N + b log E_hat + c log N log E_hat + d. All runs there saw 130 B tokens, which makes the gain
    shrink with size (none above 937 B); later work, tokens grown alongside, finds the opposite: this is the low end.
    """
    a, b, c, start, top = -0.082, -0.108, 0.009, 1.847, 314.478

    def saturated(experts: float) -> float:
        return 1 / (1 / (experts - 1 + 1 / (1 / start - 1 / top)) + 1 / top)

    size = math.log10(active_params)
    many, one = math.log10(saturated(sparsity.expansion)), math.log10(saturated(1.0))
    effective = (a * size + b * (many - one) + c * size * many) / (a + c * one)
    return float(max(1.0, 10 ** (effective - size)))


def krajewski_leverage(sparsity: Sparsity, active_params: float, tokens: float) -> float:
    """Dense over mixture compute at equal loss, Krajewski et al. (arXiv 2402.07871, equation 9, constants of table 1).

    L = c + (g / G^gamma + a) / N^alpha + b / D^beta, with other a, b, alpha, beta for dense models. All runs had an
    expansion of 64; N is read as all parameters, 64 times the active ones, the reading that gives the paper's own
    "more than 40 times" at 1e25 FLOP (routing, which it counts and we do not, leaves 20 of our 36 at 1e20). Both sides
    at their own best N and D. An expansion below 64 takes its share of the gain in log scale, an assumption of ours:
    this is the high end.
    """
    held = 64.0
    G = min(max(2 * sparsity.granularity, 1.0), 16.0)  # his G is against a feed-forward of 4 D; 1 to 16 were run
    log_compute = math.log(6 * active_params * tokens)
    dense = _frontier(16.3, 26.7, 0.126, 0.127)
    loss = _frontier(2.1 / G**0.58 + 18.1, 30.8, 0.115, 0.147)(held * math.exp(log_compute))
    low, high = log_compute, log_compute + math.log(1e4)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if dense(math.exp(middle)) > loss else (low, middle)
    return float(math.exp((low - log_compute) * min(1.0, math.log(sparsity.expansion) / math.log(held))))


def _frontier(A: float, B: float, alpha: float, beta: float) -> Callable[[float], float]:
    """The least A / N^alpha + B / D^beta at 6 N D = C, as a function of C (Hoffmann, equation 4)."""

    def least(compute: float) -> float:
        G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        N = G * (compute / 6) ** (beta / (alpha + beta))
        return float(A / N**alpha + B / (compute / 6 / N) ** beta)

    return least


Leverage = Callable[[Sparsity, float, float], float]
MOE_LAWS: dict[str, tuple[Leverage, str]] = {
    "ling": (ling_leverage, "Tian et al. (Ling), arXiv 2507.17702, joint law of section 4.3"),
    "clark": (clark_leverage, "Clark et al., arXiv 2202.01169, equation 1 with S-BASE of table 3"),
    "krajewski": (krajewski_leverage, "Krajewski et al., arXiv 2402.07871, equation 9 with table 1"),
}


def moe_law(name: str) -> Leverage:
    """The leverage function of that name; UserError with the nearest name otherwise."""
    if name not in MOE_LAWS:
        raise UserError(
            f"{name!r} is not a law for mixtures; take one of {', '.join(MOE_LAWS)}.{nearest(name, MOE_LAWS)}"
        )
    return MOE_LAWS[name][0]


@dataclass(frozen=True)
class QualityLaw:
    """A dense law and a law for mixtures together: the loss of any model, and the tokens that reach one."""

    dense: LossLaw
    mixture: Leverage

    def effective_params(self, active_params: float, sparsity: Sparsity, tokens: float) -> float:
        """Dense parameters that N active ones of this sparsity are worth after `tokens` tokens."""
        if sparsity.activation >= 1:
            return active_params
        return active_params * self.mixture(sparsity, active_params, tokens)

    def loss(self, active_params: float, sparsity: Sparsity, tokens: float) -> float:
        """Predicted loss, nats per token."""
        return self.dense.loss(self.effective_params(active_params, sparsity, tokens), tokens)

    def tokens_for(self, loss: float, active_params: float, sparsity: Sparsity) -> float:
        """Training tokens that reach `loss`, by bisection (the leverage moves with tokens); infinity when none do
        within MAX_TOKENS_PER_PARAM times the active parameters."""
        if sparsity.activation >= 1:
            tokens = self.dense.tokens_for(loss, active_params)
            return tokens if tokens <= MAX_TOKENS_PER_PARAM * active_params else math.inf
        low, high = math.log(active_params / 100), math.log(active_params * MAX_TOKENS_PER_PARAM)
        if self.loss(active_params, sparsity, math.exp(high)) > loss:
            return math.inf
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.loss(active_params, sparsity, math.exp(middle)) > loss else (low, middle)
        return math.exp(high)
