"""What quantising costs in quality: bits per byte and distance from the bf16 model, by format, on held-out text.

usage: benchmarks/quantised.py MODEL TEXT CALIBRATION [--window 128] [--most 60000] [--json]

TEXT is read in windows side by side, `--most` tokens of it; the distance is the mean over its positions of
KL(bf16 || quantised) of the next token, in nats. CALIBRATION is another text, for int4 with --calibrate. The bytes are
of the folder's weights.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import centime
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.model import Transformer
from centime.model.quantised.calibrate import importance
from centime.model.quantised.quantise import Formats, quantise_folder

ROWS = {
    "bf16": Formats("bf16"),
    "int8": Formats("int8"),
    "fp8": Formats("fp8"),
    "int8, experts int4": Formats("int8", experts="int4"),
    "int4": Formats("int4"),
    "int4, calibrated": Formats("int4"),
}


def windows(path: Path, tokenizer: Tokenizer, window: int, most: int) -> Tensor:
    """Token ids [N, window + 1] of a text's beginning."""
    [ids] = tokenizer.encode_documents([path.read_text("utf-8")])
    whole = torch.from_numpy(ids[:most].astype("int64"))
    return whole[: len(whole) // (window + 1) * (window + 1)].view(-1, window + 1)


@torch.no_grad()
def log_probabilities(model: Transformer, rows: Tensor) -> Tensor:
    return torch.cat([model(part[:, :-1]).float().log_softmax(-1).half() for part in rows.split(16)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--most", type=int, default=60_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tokenizer = load_tokenizer(given.model)
    rows = windows(given.text, tokenizer, given.window, given.most)
    targets, size = rows[:, 1:, None], len(tokenizer.decode(rows[:, 1:].flatten().tolist()).encode())
    learned = windows(given.calibration, tokenizer, given.window, given.most)
    measured = importance(centime.load(given.model, dtype=torch.float32), learned[:, :-1].split(16))
    found, reference = [], None
    for name, formats in ROWS.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "model"
            quantise_folder(given.model, out, formats, importance=measured if "calibrated" in name else None)
            stored = sum(file.stat().st_size for file in out.glob("*.safetensors"))
            logs = log_probabilities(centime.load(out, dtype=torch.float32), rows)
        reference = logs if reference is None else reference
        bits = -float(logs.float().gather(-1, targets).double().sum()) / math.log(2) / size
        kl = float((reference.float().exp() * (reference.float() - logs.float())).sum(-1).mean())
        found.append({"format": name, "bytes": stored, "bits_per_byte": bits, "kl": kl})
    if given.json:
        print(json.dumps(found, indent=2))
        return
    table = Table("format", "MB", "bits per byte", "KL, nats a token")
    for row in found:
        table.add_row(row["format"], f"{row['bytes'] / 1e6:.2f}", f"{row['bits_per_byte']:.4f}", f"{row['kl']:.6f}")
    Console().print(table)


if __name__ == "__main__":
    main()
