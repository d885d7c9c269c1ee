"""A large model in few bits on one machine: random weights written in a stream, then loaded and asked.

usage: benchmarks/large.py FOLDER [--model deepseek-v2-lite] [--format int4] [--threads 2] [--new 48] [--json]

FOLDER is made where it is not there; its numbers say nothing, their bytes are read as any others. Speeds are beside a
plain read, by the same threads in the same process, of as many bytes as a token's matrices have.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from centime.catalogue.presets import preset
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.model import Transformer
from centime.model.checkpoint import TOKENIZER_FILES, Weights, save_weights
from centime.model.names import Slot
from centime.model.packed.layer import PackedDecoderLayer
from centime.model.quantised.quantise import PLAIN, Formats
from centime.native.library import library
from centime.ops.panels import Panels
from centime.ops.quantised import quantise
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Request, SamplingParams
from centime.serve.engine.settings import EngineSettings
from centime.serve.loading import load_for_inference, open_folder

BLOCK = 128  # of FP8's scales


def write(folder: Path, model: str, kind: str) -> None:
    """The folder, one matrix at a time: every matrix of a shape has the same numbers."""
    config = preset(model)
    with torch.device("meta"):
        empty = Transformer(config)
    shapes = {name: weight.shape for name, weight in empty.state_dict().items()}
    formats = Formats(kind, head=kind)
    drawn: dict[tuple[torch.Size, str], torch.Tensor] = {}

    def read(slot: Slot) -> torch.Tensor:
        shape, wanted = shapes[slot.ours][len(slot.index) :], formats.of(slot.ours)
        if (shape, wanted) not in drawn:
            numbers = torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * config.initializer_range
            plain = numbers.to(torch.float32 if slot.ours.endswith("bias") else torch.bfloat16)
            drawn[shape, wanted] = plain if wanted == PLAIN or len(shape) == 1 else quantise(plain, wanted, BLOCK)
        return drawn[shape, wanted]

    tokenizer = folder.parent / f"{folder.name}-tokenizer"
    write_tokenizer(train_tokenizer(["\n".join(f"{n} and {n * n}" for n in range(2000))], 512), tokenizer)
    others = {name: tokenizer / name for name in TOKENIZER_FILES if (tokenizer / name).is_file()}
    kinds = {name: formats.of(name) for name, shape in shapes.items() if len(shape) > 1 and formats.of(name) != PLAIN}
    save_weights(Weights(config, torch.bfloat16, read, kinds, BLOCK), folder, others)


def active_bytes(model: Transformer) -> int:
    """Bytes of the matrices that one token is multiplied with."""
    assert isinstance(model.head_weight, Panels)
    total = model.head_weight.nbytes
    for layer in model.layers:
        assert isinstance(layer, PackedDecoderLayer)
        weights = layer.native.weights
        routed = weights.router.chosen if weights.router else 1
        total += sum(part.nbytes * routed // part.shape[0] for part in (weights.gate_up, weights.down))
        attention = (weights.q_down, weights.q_up, weights.kv_down, weights.uk_HLN, weights.uv_HVL, weights.out)
        router = (weights.router.weight,) if weights.router else ()
        total += sum(part.nbytes for part in (*attention, *(weights.shared or ()), *router) if part is not None)
    return total


def measure(folder: Path, new: int) -> dict[str, float]:
    """Seconds until ready, memory, and tokens a second of one answer, in three rounds beside plain reads."""
    began = time.perf_counter()
    opened = load_for_inference(open_folder(folder))
    engine = Engine(opened.model, opened.tokenizer, EngineSettings(cache_bytes=1 << 29))
    ready = time.perf_counter() - began
    kernels = library()
    assert kernels is not None, "no kernels here: centime doctor says why"
    largest = max((weight for weight in opened.model.parameters()), key=lambda weight: weight.nbytes)
    active, rates, reads = active_bytes(opened.model), [], []
    for number in range(3):
        came: list[float] = []
        params = SamplingParams(max_tokens=new, temperature=0, ignore_eos=True)
        engine.submit(Request([2, 3, 4 + number], params, lambda _, came=came: came.append(time.perf_counter())))
        while engine.step():
            pass
        rates.append((new - 1) / (came[-1] - came[0]))
        start = time.perf_counter()
        kernels.read(largest.data_ptr(), largest.nbytes)
        reads.append(largest.nbytes / (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = Path("/proc/self/status").read_text().splitlines()
    owned = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    share = median(rates) * active / median(reads)
    return {
        **{"ready_s": ready, "own_bytes": owned, "peak_bytes": peak, "tokens_per_s": median(rates)},
        **{"active_bytes": active, "read_bytes_per_s": median(reads), "share_of_read": share},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="deepseek-v2-lite")
    parser.add_argument("--format", default="int4", choices=["int8", "int4", "fp8"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not (options.folder / "config.json").exists():
        print(f"writing {options.model} in {options.format} to {options.folder}", file=sys.stderr)
        write(options.folder, options.model, options.format)
    found = measure(options.folder, options.new)
    if options.json:
        print(json.dumps(found))
        return
    table = Table("", "")
    table.add_row("ready", f"{found['ready_s']:.1f} s")
    table.add_row("memory of its own", f"{found['own_bytes'] / 1e9:.2f} GB")
    table.add_row("at most, pages of files counted", f"{found['peak_bytes'] / 1e9:.2f} GB")
    table.add_row("one answer", f"{found['tokens_per_s']:.1f} tokens/s")
    table.add_row("a token's matrices", f"{found['active_bytes'] / 1e9:.2f} GB")
    table.add_row("of a plain read's speed", f"{found['share_of_read']:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
