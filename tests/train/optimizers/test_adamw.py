"""AdamW gives torch.optim.AdamW's bits, and a run needs neither torch.optim nor the compiler that it imports."""

from __future__ import annotations

import subprocess
import sys

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.train.optimizers.adamw import AdamW


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=2, max_size=5),
    lrs=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    decay=st.floats(0, 1),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    absent=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_the_bits_of_torch_optim(
    shapes: list[list[int]], lrs: list[float], decay: float, betas: tuple[float, float], absent: int, seed: int
) -> None:
    """One tensor, `absent`, misses every gradient but the last step's: its moments and its count begin there."""
    numbers = torch.Generator().manual_seed(seed)
    start = [torch.randn(shape, generator=numbers) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(tensor.clone()) for tensor in start] for _ in range(2))
    a = AdamW([(ours[:1], decay), (ours[1:], 0.0)], betas, 1e-8)
    groups = [{"params": theirs[:1], "weight_decay": decay}, {"params": theirs[1:], "weight_decay": 0.0}]
    b = torch.optim.AdamW(groups, betas=betas, eps=1e-8, fused=True)
    for step, lr in enumerate(lrs):
        for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            if place != absent or step == len(lrs) - 1:
                mine.grad = torch.randn(mine.shape, generator=numbers)
                other.grad = mine.grad.clone()
        for group in b.param_groups:
            group["lr"] = lr
        a.step(lr)
        b.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
        assert a.state[mine].keys() == b.state[other].keys()
        assert all(torch.equal(a.state[mine][key], value) for key, value in b.state[other].items())


def test_a_step_imports_no_compiler() -> None:
    code = (
        "import sys, torch, centime.train.run, centime.train.engine.build\n"
        "from centime.recipe import Optimizer; from centime.train.optimizers.groups import build\n"
        "w, v = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))\n"
        "w.grad, v.grad = torch.ones(2, 2), torch.ones(2)\n"
        "from centime.train.engine.determinism import deterministic\n"
        "with deterministic(True):\n"
        "    for one in build(Optimizer(name='muon'), [w], [], [v], False): one.step(0.1)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
