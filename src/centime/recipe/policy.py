"""The policy loss as a recipe states it: one algorithm of the field as a start, and any of its settings beside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from centime.recipe.values import MOST_RATE, RecipeSection

Part = Annotated[float, Field(ge=0, le=MOST_RATE)]

# What each paper trains with, as settings of one loss; tune/policy_loss.py quotes the equations.
ALGORITHMS: dict[str, dict[str, Any]] = {
    # DeepSeekMath, arXiv 2402.03300, eq. 3 and section 4.2; R1 has kl = 0.001 (arXiv 2501.12948v2, section 2)
    "grpo": {"advantage": "std", "normalise": "sequence", "clip_low": 0.2, "clip_high": 0.2, "kl": 0.04},
    # arXiv 2503.20783, section 3.2
    "dr-grpo": {"advantage": "mean", "normalise": "length", "clip_low": 0.2, "clip_high": 0.2, "kl": 0.0},
    # arXiv 2503.14476, eq. 8 and section 4.1
    "dapo": {"advantage": "std", "normalise": "token", "clip_low": 0.2, "clip_high": 0.28, "kl": 0.0},
    # MiniMax-M1, arXiv 2506.13585, eq. 4 and 5; no lower bound, and an upper one of 5 (ScaleRL, arXiv 2510.13786)
    "cispo": {
        **{"advantage": "std", "normalise": "token", "clipped": "weight"},
        **{"clip_low": 1.0, "clip_high": 4.0, "kl": 0.0},
    },
    # arXiv 2507.18071, eq. 5 to 7 and section 5.1
    "gspo": {
        **{"advantage": "std", "normalise": "sequence", "ratio": "sequence"},
        **{"clip_low": 3e-4, "clip_high": 4e-4, "kl": 0.0},
    },
}  # fmt: skip


class PolicyLoss(RecipeSection):
    """What reinforcement minimises. `algorithm` fills in what is not stated beside it."""

    algorithm: Literal["grpo", "dr-grpo", "dapo", "cispo", "gspo"] = Field(
        "dapo", description="where the keys below start from: grpo (R1), dr-grpo, dapo, cispo or gspo"
    )
    advantage: Literal["std", "mean"] = Field(
        "std",
        description="a reward less its group's mean, over the group's deviation (std) or as it is (mean)",
    )
    normalise: Literal["token", "sequence", "length"] = Field(
        "token", description="mean over all tokens, of each answer's own mean, or over answers times rl.max_tokens"
    )
    ratio: Literal["token", "sequence"] = Field("token", description="importance weights a token, or of whole answers")
    clipped: Literal["objective", "weight"] = Field(
        "objective", description="PPO's clipped objective, or clipped weights of a plain policy gradient (CISPO)"
    )
    clip_low: Part = Field(0.2, le=1, description="ratios under 1 - clip_low are clipped")
    clip_high: Part = Field(0.28, description="ratios over 1 + clip_high are clipped (R1's own: 10)")
    kl: Part = Field(0.0, description="weight of the divergence from the reference model (R1: 0.001; 0: no reference)")

    @model_validator(mode="before")
    @classmethod
    def _of_algorithm(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        name = tree.get("algorithm", "dapo")
        start = ALGORITHMS.get(name, {}) if isinstance(name, str) else {}
        return {"ratio": "token", "clipped": "objective", **start, **tree}
