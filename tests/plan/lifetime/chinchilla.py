"""What laws of loss say of the compute-optimal model."""

from __future__ import annotations

from centime.plan.lifetime.scaling_laws import LossLaw


def optimal_tokens(law: LossLaw, params: float) -> float:
    """Tokens at which `params` is the compute-optimal size: alpha A / N^alpha = beta B / D^beta, the condition of the
    least loss at a fixed product N D (Hoffmann, equation 4)."""
    return float((law.beta * law.B / (law.alpha * law.A) * params**law.alpha) ** (1 / law.beta))
