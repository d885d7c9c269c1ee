"""What needs a GPU, in one script: every fast path against its reference there, then kernels and steps as shares of
the roofline.

usage: python benchmarks/gpu.py [--out FOLDER] [--device cuda|cpu] [--steps 10]

Correctness comes first: if any operation strays from its float32 reference, nothing is timed and the exit code is 1.
Needs torch, Triton and what `centime` itself needs; `PYTHONPATH=src` is enough, no installation. With `--device cpu`
Triton's interpreter runs the kernels, and of the timings a small model's alone are taken: a test of the script.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Prints distances, then the shares; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], help="cuda where there is one")
    parser.add_argument("--steps", type=int, default=10, help="steps of a model that are timed")
    parser.add_argument("--out", type=Path, help="folder for a file named by chip and date, as benchmarks/results")
    arguments = parser.parse_args()
    if arguments.device == "cpu" or (arguments.device is None and shutil.which("nvidia-smi") is None):
        os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it as it is imported

    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device is visible to torch; run on a GPU machine or pass --device cpu.", file=sys.stderr)
        return 2
    from on_gpu.correctness import check

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    found = check(device)
    report: dict[str, Any] = {
        "device": name,
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "distances": {key: value for key, (value, _) in found.items()},
    }
    strayed = [f"{key}: {value:.1e}, bound {bound:.0e}" for key, (value, bound) in found.items() if not value <= bound]
    if not strayed:
        report |= timings(device, arguments.steps)
    text = json.dumps(report, indent=2)
    print(text)
    for line in strayed:
        print(f"strays from the reference: {line}", file=sys.stderr)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / f"gpu-{name.lower().replace(' ', '-')}-{report['date']}.json").write_text(text + "\n")
    return 1 if strayed else 0


def timings(device: str, steps: int) -> dict[str, Any]:
    """Rates of the device's own library and memory, and what our kernels and models make of them."""
    from centime.catalogue.presets import preset
    from on_gpu import models
    from on_gpu.kernels import kernels
    from on_gpu.timing import gemm_rate, read_rate

    gemm = gemm_rate(device, 8192 if device == "cuda" else 64)
    read = read_rate(device, 2**32 if device == "cuda" else 2**20)
    config = models.MODEL if device == "cuda" else preset("centime-d2")
    report: dict[str, Any] = {"bf16_gemm_tflops": gemm / 1e12, "read_gb_per_s": read / 1e9}
    if device == "cuda":
        report["kernels"] = kernels(device, gemm, read)
    report["training"] = models.training(config, device, steps, gemm)
    report["decoding"] = models.decoding(config, device, steps, read)
    if device == "cuda":
        report["decoding"]["transformers_tokens_per_s_at_256"] = models.transformers_decoding(config, device, steps)
    return report


if __name__ == "__main__":
    sys.exit(main())
