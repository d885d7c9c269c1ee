"""The live line of reinforcement, and the one of its evaluations: reward, signal, length, entropy, speed, money."""

from __future__ import annotations

from centime.train.run.callbacks.callback import Record
from centime.units import format_count, format_duration, format_money


def reward_parts(record: Record, steps: int) -> list[tuple[int, str]]:
    """(rank, text) from left to right, as the line of `centime train` has them; higher ranks go first for want of room.

    12/100 | reward 0.430 ± 0.050 | right 41 % | silent 25 % | 14.2 tokens | entropy 0.380 | 9.80 K tok/s | $0.00120
    """
    parts = [
        (0, f"{record['step']}/{steps}"),
        (1, f"reward {record['reward']:.3f} \u00b1 {record['reward_interval']:.3f}"),
        (2, f"right {100 * record['right']:.0f} %"),
        (3, f"silent {100 * record['silent']:.0f} %"),
        (4, f"{record['length']:.1f} tokens"),
    ]
    if "entropy" in record:
        parts.append((5, f"entropy {record['entropy']:.3f}"))
    parts.append((6, f"{format_count(record['tokens_per_s'])} tok/s"))
    if record.get("cost") is not None:
        parts.append((0, format_money(record["cost"], record["currency"])))
    return [*parts, (0, format_duration(record["seconds_left"]))]


def accuracy_line(record: Record) -> str:
    """'held-out 41.0 % right ± 6.8 of 200, form 98 %, 11.2 tokens, $0.0002 a point of accuracy'."""
    text = (
        f"held-out {100 * record['eval_accuracy']:.1f} % right \u00b1 {100 * record['eval_interval']:.1f} of "
        f"{record['eval_problems']}, form {100 * record['eval_form']:.0f} %, {record['eval_length']:.1f} tokens"
    )
    if record.get("cost_per_point") is not None:
        text += f", {format_money(record['cost_per_point'], record['currency'])} a point of accuracy"
    return text
