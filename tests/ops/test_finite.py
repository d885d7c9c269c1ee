"""Whether a tensor is finite, against the plain question, for every type and a few odd shapes."""

from __future__ import annotations

import pytest
import torch

from centime.ops.finite import first_not_finite, is_finite

TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 5), (2, 1, 7)])
def test_one_bad_number_is_found_wherever_it_is(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    good = torch.linspace(-3, 3, torch.Size(shape).numel()).view(shape)
    assert is_finite(good.to(dtype))
    for at in range(good.numel()):
        for value in (float("nan"), float("inf"), float("-inf")):
            bad = good.clone()
            bad.view(-1)[at] = value
            stored = bad.to(dtype)
            assert is_finite(stored) == bool(torch.isfinite(stored.float()).all())


def test_the_first_is_named() -> None:
    bad, whole = torch.tensor([float("nan")]), torch.ones(2, dtype=torch.int64)
    assert first_not_finite({"a": torch.ones(2), "b": whole, "c": bad, "d": bad}) == "c"
    assert first_not_finite({"a": torch.ones(2), "b": whole}) is None
