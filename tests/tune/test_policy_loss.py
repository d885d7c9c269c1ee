"""The policy loss beside its equations written out token by token, and the objective beside plain logits."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.made import CONFIG, model

from centime.recipe.policy import ALGORITHMS, PolicyLoss
from centime.train.engine import MicroBatch
from centime.tune.objective import PolicyObjective
from centime.tune.policy_loss import Policy, policy_loss

losses = st.builds(
    PolicyLoss,
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
    clip_low=st.sampled_from([0.05, 0.5, 1.0]),
    clip_high=st.sampled_from([0.05, 0.5]),
    kl=st.sampled_from([0.0, 0.3]),
)


def drawn(seed: int, answers: int = 3, tokens: int = 5) -> Policy:
    """Answers of unequal length by weights a little way off, among them what says nothing outside them."""
    generator = torch.Generator().manual_seed(seed)
    logp, old, reference = (0.4 * torch.randn(answers, tokens, generator=generator) - 2 for _ in range(3))
    weight = torch.rand(answers, tokens, generator=generator) + 0.1
    weight[torch.rand(answers, tokens, generator=generator) < 0.3] = 0
    return Policy(logp.requires_grad_(), old, torch.randn(answers, generator=generator), weight, reference)


def written_out(policy: Policy, wanted: PolicyLoss) -> tuple[float, dict[tuple[int, int], float]]:
    """-J by policy_loss's own equations in Python's numbers, and d(-J)/d(logp) by token where ratios are a token's."""
    loss, slopes = 0.0, {}
    logp, old, weight = (tensor.tolist() for tensor in (policy.logp.detach(), policy.old, policy.weight))
    for i, A in enumerate(policy.advantage.tolist()):
        own = [t for t, share in enumerate(weight[i]) if share]
        mean = sum(logp[i][t] - old[i][t] for t in own) / max(1, len(own))
        for t in own:
            r = math.exp(mean if wanted.ratio == "sequence" else logp[i][t] - old[i][t])
            bounded = min(max(r, 1 - wanted.clip_low), 1 + wanted.clip_high)
            if wanted.clipped == "weight":
                J, slope = bounded * A * logp[i][t], bounded * A
            else:
                J, slope = min(r * A, bounded * A), r * A if r * A <= bounded * A else 0.0
            if policy.reference is not None:
                away = float(policy.reference[i][t]) - logp[i][t]
                J, slope = J - wanted.kl * (math.exp(away) - away - 1), slope + wanted.kl * (math.exp(away) - 1)
            loss -= weight[i][t] * J
            slopes[i, t] = -weight[i][t] * slope
    return loss, slopes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), losses, st.booleans())
def test_the_loss_is_its_equations_and_its_figures_are_what_happened(
    seed: int, wanted: PolicyLoss, referenced: bool
) -> None:
    policy = drawn(seed) if referenced else drawn(seed)._replace(reference=None)
    loss, sums = policy_loss(policy, wanted)
    loss.backward()
    expected, slopes = written_out(policy, wanted)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert policy.logp.grad is not None
    found = policy.logp.grad
    if wanted.ratio == "token":
        whole = torch.tensor([[slopes.get((i, t), 0.0) for t in range(5)] for i in range(3)])
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)
    mask = policy.weight != 0
    assert int(sums.tokens) == int(mask.sum())
    assert not found[~mask].any()
    if wanted.clipped == "objective" and not (referenced and wanted.kl):
        assert int(sums.clipped) == int(((found == 0) & mask).sum()), "clipped is what has no gradient left"
    far = ((policy.logp - policy.old)[mask]).detach()
    assert float(sums.furthest) == pytest.approx(float(far.abs().max() if len(far) else 0.0))
    assert float(sums.moved) == pytest.approx(float(((-far).exp() - 1 + far).sum()), rel=1e-3, abs=1e-5)
    away = (policy.reference - policy.logp)[mask].detach() if policy.reference is not None else torch.zeros(1)
    assert float(sums.kl) == pytest.approx(float((away.exp() - 1 - away).sum()), rel=1e-3, abs=1e-5)


def test_the_objective_is_of_the_models_own_log_probabilities_however_a_step_is_cut() -> None:
    """Loss and figures from whole logits at a temperature, over the words that stand for something."""
    net, V, warm = model(config=CONFIG.model_copy(update={"num_nextn_predict_layers": 0})), 80, 0.7
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(0, V, (6, 8), generator=generator)
    policy = drawn(2, 6, 7)
    with torch.no_grad():
        spread = (net(rows[:, :-1]).float()[..., :V] / warm).log_softmax(-1)
    logp = spread.gather(2, rows[:, 1:, None])[..., 0]
    mask, wanted = policy.weight != 0, PolicyLoss(algorithm="grpo")
    objective = PolicyObjective(net, wanted, warm, V)
    torch.testing.assert_close(objective.log_probabilities(net, rows, mask), logp * mask, rtol=1e-4, atol=1e-5)
    assert objective.taken() == {}

    old, reference = logp + policy.old + 2, logp + policy.logp.detach() + 2  # tenths of a nat away
    beside = {"old": old, "reference": reference, "advantage": policy.advantage}
    total = 0.0
    for first, last in itertools.pairwise((0, 1, 4, 6)):
        part = MicroBatch(
            rows[first:last], policy.weight[first:last], beside={k: v[first:last] for k, v in beside.items()}
        )
        with torch.no_grad():
            hidden = net.features(part.rows[:, :-1]).hidden
            total += float(objective.main_loss(hidden, part, policy.weight[first:last]))
    loss, sums = policy_loss(Policy(logp, old, policy.advantage, policy.weight, reference), wanted)
    assert total == pytest.approx(float(loss), rel=1e-4)
    entropy = -(spread.exp() * spread).sum(-1)[mask].mean()
    tokens, found = float(mask.sum()), objective.taken()
    assert found == pytest.approx(
        {
            "clip_share": float(sums.clipped) / tokens,
            "kl": float(sums.kl) / tokens,
            "mismatch_kl": float(sums.moved) / tokens,
            "mismatch_max": float((logp - old)[mask].abs().max()),
            "entropy": float(entropy),
        },
        rel=1e-3,
    )


def test_what_is_far_beyond_any_bound_stays_a_number() -> None:
    far = torch.tensor([[-500.0, -1.0]], requires_grad=True)
    policy = Policy(far, torch.tensor([[-1.0, -500.0]]), torch.tensor([-1.0]), torch.ones(1, 2))
    for name in sorted(ALGORITHMS):
        loss, _ = policy_loss(policy, PolicyLoss(algorithm=name))
        (slope,) = torch.autograd.grad(loss, far)
        assert bool(loss.isfinite())
        assert bool(slope.isfinite().all())
