"""Newton-Schulz against the singular value decomposition, and Muon on stacked matrices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.made import SETTINGS, batch, model, trainer
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Placement, Replicate, Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from centime.ops.floats.newton_schulz import FIVE_STEPS, V4_STEPS, orthogonalise
from centime.recipe import Optimizer
from centime.train.optimizers.adamw import AdamW
from centime.train.optimizers.groups import build, group_parameters
from centime.train.optimizers.muon import Muon
from centime.train.optimizers.sharded_muon import ShardedMuon


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(2, 24), columns=st.integers(2, 24), seed=st.integers(0, 1000))
def test_orthogonalise_is_u_v_of_the_svd(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    if s[-1] < 1e-2 * s[0]:  # ten steps do not lift a vanishing singular value to one
        return
    torch.testing.assert_close(orthogonalise(matrix, V4_STEPS, torch.float32), u @ v, rtol=0, atol=0.02)


def test_v4_steps_end_closer_to_orthogonal_than_five() -> None:
    matrix = torch.randn(32, 48, generator=torch.Generator().manual_seed(0))

    def error(steps: object) -> float:
        return float((torch.linalg.svdvals(orthogonalise(matrix, steps, torch.float32)) - 1).abs().max())  # type: ignore[arg-type]

    assert error(V4_STEPS) < 0.01
    assert 0.1 < error(FIVE_STEPS) < 0.5


def test_the_steps_are_those_of_the_papers() -> None:
    """V4: eight that grow small values fast, two that end at one; Jordan's five."""
    fast, exact = (3.4445, -4.7750, 2.0315), (2.0, -1.5, 0.5)
    assert list(V4_STEPS) == [fast] * 8 + [exact] * 2
    assert list(FIVE_STEPS) == [fast] * 5


def test_a_batch_is_its_matrices_one_by_one() -> None:
    stack = torch.randn(5, 2, 6, 9, generator=torch.Generator().manual_seed(1))
    whole = orthogonalise(stack, dtype=torch.float32)
    for e in range(5):
        for i in range(2):
            torch.testing.assert_close(whole[e, i], orthogonalise(stack[e, i], dtype=torch.float32))


def test_an_expert_without_a_gradient_stays_finite() -> None:
    stack = torch.randn(3, 4, 4)
    stack[1] = 0
    assert torch.equal(orthogonalise(stack)[1], torch.zeros(4, 4))


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (4, 2, 12, 20)])
def test_update_has_the_stated_root_mean_square(shape: tuple[int, ...]) -> None:
    p = torch.nn.Parameter(torch.zeros(shape))
    p.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    Muon([p], weight_decay=0.0, dtype=torch.float32).step(0.1)
    assert float(p.detach().square().mean().sqrt()) == pytest.approx(0.1 * 0.18, rel=0.02)


def test_agrees_with_torch_on_two_dimensions() -> None:
    """torch.optim.Muon, the same coefficients, RMS 0.2 and momentum written as a running mean."""
    torch.manual_seed(0)
    start = torch.randn(16, 24)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    a = Muon([ours], weight_decay=0.1, update_rms=0.2, coefficients=FIVE_STEPS)
    b = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        ours.grad = torch.randn(16, 24)
        theirs.grad = ours.grad.clone()
        a.step(0.02)
        b.step()
        cosine = torch.nn.functional.cosine_similarity((ours - start).flatten(), (theirs - start).flatten(), dim=0)
        assert cosine.item() > 0.98


def test_two_steps_are_those_of_the_formula() -> None:
    """W (1 - lr decay) - lr rms sqrt(max(M, N)) orthogonalise(mu B + G), with B <- mu B + G."""
    numbers = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(3, 5, generator=numbers), [torch.randn(3, 5, generator=numbers) for _ in range(2)]
    p = torch.nn.Parameter(start.clone())
    muon = Muon([p], momentum=0.5, weight_decay=0.4, update_rms=0.3, dtype=torch.float32)
    expected, buffer = start, torch.zeros(3, 5)
    for gradient in gradients:
        p.grad = gradient.clone()
        muon.step(0.25)
        buffer = 0.5 * buffer + gradient
        direction = orthogonalise(0.5 * buffer + gradient, V4_STEPS, torch.float32)
        expected = expected * (1 - 0.25 * 0.4) - 0.25 * 0.3 * 5**0.5 * direction
    torch.testing.assert_close(p.detach(), expected)
    p.grad = None
    muon.step(0.25)
    torch.testing.assert_close(p.detach(), expected)


@pytest.mark.parametrize(("steps", "bf16"), [("v4", True), ("5", False)])
def test_what_is_built_has_the_recipe_s_settings(steps: str, bf16: bool) -> None:
    matrix, embedding, norm = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (3, 2), (2,)))
    recipe = Optimizer(name="muon", muon_steps=steps, muon_momentum=0.5, weight_decay=0.25, beta1=0.75, eps=1e-5)
    muon, adamw = build(recipe, [matrix], [embedding], [norm], bf16)
    assert isinstance(muon, Muon)
    assert isinstance(adamw, AdamW)
    assert (muon.coefficients, muon.dtype) == ((V4_STEPS, torch.bfloat16) if bf16 else (FIVE_STEPS, torch.float32))
    assert (muon.momentum, muon.weight_decay, muon.update_rms) == (0.5, 0.25, recipe.muon_update_rms)
    assert [(len(tensors), decay) for tensors, decay in adamw.groups] == [(1, 0.25), (1, 0.0)]
    assert (adamw.betas, adamw.eps) == ((0.75, recipe.beta2), 1e-5)
    assert len(build(recipe, [], [], [norm], bf16)) == 1


@pytest.fixture
def two_ranks() -> Iterator[DeviceMesh]:
    """A mesh of two processes, of which this is the first and the other answers nothing."""
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield init_device_mesh("cpu", (2,))
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("shape", "place", "whole"),
    [
        ((4, 6), Replicate(), (4, 6)),
        ((4, 6), Shard(0), (4, 6)),
        ((4, 6), Shard(1), (4, 6)),
        ((2, 4, 6), Shard(0), (1, 4, 6)),
        ((2, 4, 6), Shard(1), (2, 4, 6)),
        ((2, 2, 4, 6), Shard(1), (2, 1, 4, 6)),
    ],
)
def test_sharded_matrices_are_gathered_and_stacks_of_them_are_not(
    two_ranks: DeviceMesh, shape: tuple[int, ...], place: Placement, whole: tuple[int, ...]
) -> None:
    update = distribute_tensor(torch.ones(shape), two_ranks, [place])
    matrices = ShardedMuon([update]).whole_matrices(update)
    assert tuple(matrices.shape) == whole
    weight, own = ShardedMuon([update]).own_part(update, matrices)
    assert own.shape == weight.shape == update.to_local().shape


def test_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="takes matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))])


def test_groups() -> None:
    """V4: embedding, head, router and norms stay on AdamW; experts and all other matrices go to Muon."""
    groups = group_parameters(model(), Optimizer(name="muon"))
    assert "layers.1.ffn.experts.gate_up" in groups.muon
    assert "mtp.0.block.attention.kv_up.weight" in groups.muon
    assert {"embed.weight", "head.weight", "layers.1.ffn.router.weight"} <= set(groups.decayed)
    assert all("router" in name or name in {"embed.weight", "head.weight"} for name in groups.decayed)
    assert all("norm" in name for name in groups.plain)
    assert group_parameters(model(), Optimizer()).muon == []


def test_muon_learns() -> None:
    run = trainer("muon", torch.bfloat16)
    losses = [run.step(batch(step), SETTINGS).loss for step in range(25)]
    assert losses[-1] < losses[0] - 1
