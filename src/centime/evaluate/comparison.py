"""A model's bits per byte beside gzip -9 and xz -9 of the same bytes, and an honest word on who wins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from centime.evaluate.bits_per_byte import BitsPerByte
from centime.evaluate.compressors import Compressed


@dataclass(frozen=True)
class CompressorComparison:
    """All of it. `weights_bytes` and `tokenizer_bytes` are what a decoder would need besides the code."""

    model: BitsPerByte
    compressed: list[Compressed]
    weights_bytes: int
    tokenizer_bytes: int

    @property
    def model_size(self) -> int:
        """Bytes of the model's code of the text, were it written out by an arithmetic coder."""
        return -int(-self.model.bits // 8)

    def table(self) -> Table:
        """Bits per byte and sizes, best first."""
        table = Table(title=f"{self.model.bytes:,} bytes of held-out text", title_justify="left")
        table.add_column("")
        for heading in ("bits per byte", "bytes", "besides, a decoder needs"):
            table.add_column(heading, justify="right")
        needs = f"{self.weights_bytes:,} of weights, {self.tokenizer_bytes:,} of tokenizer"
        rows = [(self.model.bits_per_byte, "this model", self.model_size, needs)]
        rows += [(c.bits_per_byte, c.name, c.size, "") for c in self.compressed]
        for bits, name, size, besides in sorted(rows):
            table.add_row(name, f"{bits:.3f}", f"{size:,}", besides)
        return table

    def verdict(self) -> str:
        """Who needs fewest bits, with and without the model's own size."""
        best = min(self.compressed, key=lambda c: c.size)
        ratio = self.model.bits_per_byte / best.bits_per_byte if best.size else 1.0
        if ratio >= 1:
            return (
                f"{best.name} wins: {best.bits_per_byte:.3f} bits per byte against the model's "
                f"{self.model.bits_per_byte:.3f}, and it needs no weights."
            )
        first = (
            f"The model wins on the text alone: {self.model.bits_per_byte:.3f} bits per byte against "
            f"{best.bits_per_byte:.3f} of {best.name}, {100 * (1 - ratio):.0f} % fewer."
        )
        own = self.weights_bytes + self.tokenizer_bytes
        whole = self.model_size + own
        if whole <= best.size:
            return f"{first} It wins with its own {own:,} bytes of weights and tokenizer counted, too."
        saved = (best.size - self.model_size) / self.model.bytes
        return (
            f"{first} With its own {own:,} bytes of weights and tokenizer counted, {best.name} wins on a text of this "
            f"size; the model would pay for itself from about {own / saved / 1e6:,.0f} MB of such text."
        )

    def as_json(self) -> dict[str, Any]:
        """JSON values; sizes in bytes."""
        model = self.model
        return {
            "bytes": model.bytes,
            "documents": model.documents,
            "tokens": model.tokens,
            "window": model.window,
            "stride": model.stride,
            "bits": model.bits,
            "bits_per_byte": model.bits_per_byte,
            "nats_per_token": model.nats_per_token,
            "weights_bytes": self.weights_bytes,
            "tokenizer_bytes": self.tokenizer_bytes,
            "compressors": {c.name: {"size": c.size, "bits_per_byte": c.bits_per_byte} for c in self.compressed},
            "verdict": self.verdict() if self.compressed else None,
        }


def own_bytes(model: Path, tokenizer: Path) -> tuple[int, int]:
    """(weights, tokenizer) of a model folder, or of one file, and of the folder of its tokenizer, in bytes on disk."""
    files = [model] if model.is_file() else model.glob("*.safetensors")
    return sum(file.stat().st_size for file in files), (tokenizer / "tokenizer.json").stat().st_size
