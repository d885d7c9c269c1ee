"""RoPE against its definition: a rotation that keeps norms and depends on relative positions alone."""

from __future__ import annotations

import math

import pytest
import torch

from centime.ops.rope import apply_rope, inverse_frequencies, rope_table, yarn_inverse_frequencies, yarn_magnitude


@pytest.mark.parametrize("interleave", [True, False])
def test_scores_depend_on_the_distance_alone(interleave: bool) -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 16)
    frequencies = inverse_frequencies(16, 10000.0)

    def score(i: int, j: int) -> float:
        rows = torch.stack((q, k)).view(1, 2, 1, 16)
        rotated = apply_rope(rows, rope_table(torch.tensor([i, j]), frequencies), interleave)
        return float(rotated[0, 0, 0] @ rotated[0, 1, 0])

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)
    assert score(5, 2) != pytest.approx(score(5, 3), abs=1e-3)


def test_pairs_turn_by_position_times_frequency() -> None:
    x = torch.tensor([1.0, 0.0, 1.0, 0.0]).view(1, 1, 1, 4)
    turned = apply_rope(x, rope_table(torch.tensor([3]), inverse_frequencies(4, 100.0)), interleave=True).flatten()
    expected = [math.cos(3), math.sin(3), math.cos(0.3), math.sin(0.3)]
    torch.testing.assert_close(turned, torch.tensor(expected))


def test_yarn_keeps_fast_dimensions_and_interpolates_slow_ones() -> None:
    plain = inverse_frequencies(64, 10000.0)
    yarn = yarn_inverse_frequencies(64, 10000.0, 40.0, 4096, 32.0, 1.0)
    ratio = plain / yarn
    assert ratio[0] == pytest.approx(1.0)
    assert ratio[-1] == pytest.approx(40.0)
    assert bool((ratio.diff() >= -1e-4).all())


def test_magnitude_matches_the_reports() -> None:
    """V2 report: sqrt t = 0.0707 ln s + 1; V3: 0.1 ln s + 1; no extension, no correction."""
    assert yarn_magnitude(40.0, 0.707) == pytest.approx(0.0707 * math.log(40) + 1)
    assert yarn_magnitude(40.0, 1.0) == pytest.approx(0.1 * math.log(40) + 1)
    assert yarn_magnitude(1.0, 1.0) == 1.0
