"""What one answer cost, as a line for a person and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from centime.catalogue.prices import Price, ask_for_price
from centime.ledger import Spent
from centime.ledger.device import Device
from centime.serve.offline.session import GeneratedAnswer
from centime.units import format_duration, format_money


@dataclass(frozen=True)
class Receipt:
    """One answer, and the device-time and money that were metered while it was made."""

    answer: GeneratedAnswer
    device_ns: int
    cost: float | None
    currency: str | None
    device: Device
    price: Price | None

    @staticmethod
    def of(answer: GeneratedAnswer, before: Spent, after: Spent, device: Device, price: Price | None) -> Receipt:
        """The difference between two readings of the meter around the answer."""
        cost = None if after.cost is None or before.cost is None else after.cost - before.cost
        return Receipt(answer, after.device_ns - before.device_ns, cost, after.currency, device, price)

    @property
    def per_million(self) -> float | None:
        """Money per million generated tokens, the prompt's computation included; None without a price or a token."""
        made = len(self.answer.tokens)
        return None if self.cost is None or not made else self.cost / made * 1e6

    def line(self) -> str:
        """One sentence: tokens, time, speed, device-time, money with its date."""
        answer = self.answer
        prompt = f"{answer.prompt_tokens:,} prompt"
        if answer.reused_tokens:
            prompt += f" ({answer.reused_tokens:,} from the cache)"
        seconds = answer.prefill_seconds + answer.decode_seconds
        took = f"{seconds:.3g} s" if seconds < 60 else format_duration(seconds)
        parts = [f"{prompt} + {len(answer.tokens):,} generated tokens in {took}"]
        if answer.tokens_per_second:
            parts.append(f"{answer.tokens_per_second:,.1f} tokens/s after the first")
        parts.append(f"{self.device_ns / 1e9:.3g} device-seconds")
        if self.cost is None or self.currency is None or self.price is None:
            parts.append(ask_for_price(self.device))
        else:
            parts.append(format_money(self.cost, self.currency))
            if self.per_million is not None:
                parts.append(f"{format_money(self.per_million, self.currency)} per million generated tokens")
            parts.append(f"price {self.price.kind}, of {self.price.date}")
        ends = {"max-tokens": "cut at --max-tokens", "context": "context full", "interrupted": "interrupted"}
        if answer.finish in ends:
            parts.append(ends[answer.finish])
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The answer and its cost as JSON values; times in seconds, device-time in nanoseconds."""
        answer = self.answer
        return {
            "text": answer.text,
            "finish": answer.finish,
            "prompt_tokens": answer.prompt_tokens,
            "reused_tokens": answer.reused_tokens,
            "generated_tokens": len(answer.tokens),
            "prefill_seconds": answer.prefill_seconds,
            "decode_seconds": answer.decode_seconds,
            "tokens_per_second": answer.tokens_per_second,
            "device": self.device.name,
            "device_ns": self.device_ns,
            "cost": self.cost,
            "currency": self.currency,
            "cost_per_million_generated_tokens": self.per_million,
            "price_date": self.price.date if self.price else None,
            "price_kind": self.price.kind if self.price else None,
        }
