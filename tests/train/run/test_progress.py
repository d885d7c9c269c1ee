"""The live line at every width: step, money and time left are always whole, the rest by what there is room for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from centime.train.run.callbacks.progress import ProgressBar, live_line

RECORD = {
    "step": 412,
    "main_loss": 3.4213,
    "bits_per_byte": 1.9412,
    "tokens_per_s": 7503.0,
    "mfu": 0.69,
    "max_violation": 3.11,
    "cost": 0.0021,
    "projected_cost": 0.0068,
    "currency": "USD",
    "seconds_left": 123.0,
}


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (40, "412/1758 $0.00210 of $0.00680 2m 03s"),
        (60, " 1.94 bits/byte $0.00210 of $0.00680 2m 03s"),
        (80, "loss 3.421 1.94 bits/byte $0.00210 of $0.00680 2m 03s"),
        (100, "loss 3.421 1.94 bits/byte 7.50 K tok/s MFU 69 % $0.00210 of $0.00680 2m 03s"),
        (120, "loss 3.421 1.94 bits/byte 7.50 K tok/s MFU 69 % imbalance 3.11 $0.00210 of $0.00680 2m 03s"),
    ],
)
def test_what_a_person_pays_for_stays_at_any_width(width: int, expected: str) -> None:
    line = live_line(RECORD, 1758, width - 1)
    assert len(line) < width
    assert line.startswith("412/1758 ")
    assert line.endswith(expected)
    assert ("\u2501" in line) == (width >= 60)


@pytest.mark.parametrize("width", range(10, 200))
def test_no_line_is_wider_than_the_terminal_unless_its_first_parts_are(width: int) -> None:
    least = len("412/1758 $0.00210 of $0.00680 2m 03s")
    assert len(live_line(RECORD, 1758, width)) <= max(width, least)
    bare = {key: RECORD[key] for key in ("step", "main_loss", "tokens_per_s", "seconds_left")}
    assert live_line(bare, 1758, width).startswith("412/1758")
    assert live_line(bare, 1758, width).endswith("2m 03s")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_shows_it_and_keeps_held_out_figures_on_lines_of_their_own(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    bar = ProgressBar(console)
    bar.on_stage("pretrain", 1758, 0)
    bar.on_step(RECORD)
    assert bar._live is not None
    bar._live.refresh()
    bar.on_evaluation(RECORD | {"eval_bits_per_byte": 1.913})
    bar.on_step(RECORD | {"step": 413})
    bar.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    shown = next(line for line in text.replace("\r", "\n").splitlines() if "412/1758" in line and "of" in line)
    assert "$0.00210 of $0.00680 2m 03s" in shown
    assert text.count("held-out") == 1
    assert "step 412/1758  held-out 1.913 bits/byte" in text
