"""`centime calibrate`: all measurements in under a minute, as a profile."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable

import torch

from centime.calibrate.parts import (
    LARGE_SHAPES,
    SHAPES,
    attention_rates,
    gemm_rates,
    links,
    memory_bytes_per_s,
    muon_rates,
    operator_s,
)
from centime.calibrate.steps import CASES, LARGE_CASES, step_samples, with_factors
from centime.catalogue.machine import MachineProfile
from centime.ledger.device import this_device
from centime.ops.precision import compute_dtype

GEMM_SECONDS, ATTENTION_SECONDS = 0.15, 0.3  # at least three calls each


def calibrate(say: Callable[[str], None] = lambda _: None) -> MachineProfile:
    """Measures the device that `centime train` would take; `say` hears what is being measured."""
    began = time.perf_counter()
    smoke = os.environ.get("CENTIME_SMOKE") == "1"
    share = 0.0 if smoke else 1.0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = compute_dtype("auto", device)
    metered = this_device("gpu" if device.type == "cuda" else "cpu")
    say("memory and operators")
    memory, operator = memory_bytes_per_s(device), operator_s(device)
    say("matrix products")
    shapes = SHAPES[:6] if smoke else SHAPES + LARGE_SHAPES * (device.type == "cuda")
    gemms = list(gemm_rates(device, share * GEMM_SECONDS, shapes))
    say("attention")
    attention = list(attention_rates(device, dtype, share * ATTENTION_SECONDS))
    say("Muon's orthogonalisation")
    muon = list(muon_rates(device, dtype, share * ATTENTION_SECONDS))
    say("links between devices")
    found = links(device)
    say("training steps")
    cases = CASES[:3] if smoke else CASES + LARGE_CASES * (device.type == "cuda")
    steps = list(step_samples(device, dtype, cases))
    profile = MachineProfile(
        device=metered.name,
        threads=torch.get_num_threads(),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
        dtype={torch.bfloat16: "bf16"}.get(dtype, "fp32"),
        memory_bytes_per_s=memory,
        operator_s=operator,
        gemms=gemms,
        attention=attention,
        muon=muon,
        links=found,
        steps=steps,
        seconds=time.perf_counter() - began,
    )
    return with_factors(profile)
