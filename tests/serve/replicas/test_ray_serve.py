"""What Ray says at length is told by its last line."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="no Ray: pip install 'centime[replicas]'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("the actor died\n  because of this\n"), "  because of this"),
        (RuntimeError(" one line "), "one line"),
        (ValueError(" \n "), "ValueError"),
    ],
)
def test_of_several_lines_the_last_and_of_none_the_kind(error: Exception, line: str) -> None:
    from centime.serve.replicas.ray_serve import _last_line

    assert _last_line(error) == line
