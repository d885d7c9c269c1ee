"""What an answer cost, in a line and as JSON: what there is of it, and no figure where there is none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from centime.catalogue.prices import Price
from centime.ledger import Spent
from centime.ledger.device import Device
from centime.serve.offline.receipt import Receipt
from centime.serve.offline.session import Finish, GeneratedAnswer

DEVICE = Device("Model T", "cpu", 1, 2, None, "", None)
PRICE = Price(2.0, "USD", "2026-01-02", "somebody", "given")
ANSWER = GeneratedAnswer("the cat", list(range(1, 22)), 1300, 0, "end", 0.5, 2.0)


def receipt(cost: float | None = 0.021, price: Price | None = PRICE, **answered: Any) -> Receipt:
    before, after = (
        Spent(at + 10**9, None if cost is None else 1 + spent, None if cost is None else "USD")
        for at, spent in ((0, 0.0), (25 * 10**8, cost or 0.0))
    )
    return Receipt.of(dataclasses.replace(ANSWER, **answered), before, after, DEVICE, price)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (
            receipt(),
            "1,300 prompt + 21 generated tokens in 2.5 s; 10.5 tokens/s after the first; 2.5 device-seconds; $0.0210; "
            "$1,000.00 per million generated tokens; price given, of 2026-01-02",
        ),
        (
            receipt(reused_tokens=1024, finish="max-tokens", prefill_seconds=100.0),
            "1,300 prompt (1,024 from the cache) + 21 generated tokens in 1m 42s; 10.0 tokens/s after the first; "
            "2.5 device-seconds; $0.0210; $1,000.00 per million generated tokens; price given, of 2026-01-02; "
            "cut at --max-tokens",
        ),
        (
            receipt(prefill_seconds=58.0, decode_seconds=2.0, tokens=[5]),
            "1,300 prompt + 1 generated tokens in 1m 00s; 0.5 tokens/s after the first; 2.5 device-seconds; $0.0210; "
            "$21,000.00 per million generated tokens; price given, of 2026-01-02",
        ),
        (
            receipt(tokens=[], finish="interrupted", prefill_seconds=0.0, decode_seconds=0.0),
            "1,300 prompt + 0 generated tokens in 0 s; 2.5 device-seconds; $0.0210; price given, of 2026-01-02; "
            "interrupted",
        ),
        (
            receipt(cost=None, price=None, finish="context"),
            "1,300 prompt + 21 generated tokens in 2.5 s; 10.0 tokens/s after the first; 2.5 device-seconds; "
            "no price is known for Model T: device-time only; give one with --price '$2/h', or in PRICES; context full",
        ),
    ],
)
def test_a_line(made: Receipt, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centime.catalogue.prices.overlay_path", lambda: "PRICES")
    assert made.line() == line


def test_as_json_with_a_price_and_without() -> None:
    common = {
        "text": "the cat", "finish": "end", "prompt_tokens": 1300, "reused_tokens": 0, "generated_tokens": 21,
        "prefill_seconds": 0.5, "decode_seconds": 2.0, "tokens_per_second": 10.5, "device": "Model T",
        "device_ns": 25 * 10**8,
    }  # fmt: skip
    assert receipt().as_json() == {
        **common, "cost": pytest.approx(0.021), "currency": "USD",
        "cost_per_million_generated_tokens": pytest.approx(1000), "price_date": "2026-01-02", "price_kind": "given",
    }  # fmt: skip
    names = ("cost", "currency", "cost_per_million_generated_tokens", "price_date", "price_kind")
    assert receipt(cost=None, price=None).as_json() == common | dict.fromkeys(names)
    assert receipt(tokens=[]).as_json()["cost_per_million_generated_tokens"] is None


@pytest.mark.parametrize(
    ("tokens", "finish", "decode", "speed"),
    [
        (3, "end", 2.0, 1.5),  # the token that ended it was drawn too
        (3, "max-tokens", 2.0, 1.0),
        (1, "max-tokens", 2.0, 0.0),
        (2, "max-tokens", 2.0, 0.5),
        (1, "end", 2.0, 0.5),
        (0, "interrupted", 2.0, 0.0),
        (3, "end", 0.0, 0.0),
    ],
)
def test_speed_is_of_the_tokens_after_the_first(tokens: int, finish: Finish, decode: float, speed: float) -> None:
    answer = GeneratedAnswer("", [5] * tokens, 1, 0, finish, 1.0, decode)
    assert answer.tokens_per_second == speed
