"""A machine's profile as a person reads it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from centime.catalogue.machine import MachineProfile
from centime.units import format_duration

WARN_ERROR = 0.2  # a left-out step further off than this: the machine was busy, or drifted


def show(profile: MachineProfile, path: Path) -> None:
    """Prints rates by shape, and how well the parts explain whole steps."""
    console = Console(highlight=False)
    dtypes = sorted({gemm.dtype for gemm in profile.gemms})
    console.print(f"{profile.device}, {profile.threads} threads, torch {profile.torch}, {profile.made}")
    console.print(
        f"memory {profile.memory_bytes_per_s / 1e9:.1f} GB/s (copy, read and written); "
        f"an operator {profile.operator_s * 1e6:.1f} us; best product "
        + ", ".join(f"{profile.peak(dtype) / 1e9:,.0f} GFLOP/s in {dtype}" for dtype in dtypes)
        + ("" if "bf16" in dtypes else "; bf16 is only emulated here, and not used")
    )
    products = Table("product", box=None, pad_edge=False)
    by_shape: dict[tuple[int, int, int], list[float]] = {}
    for dtype in dtypes:
        products.add_column(f"{dtype} GFLOP/s", justify="right")
        for gemm in (gemm for gemm in profile.gemms if gemm.dtype == dtype):
            by_shape.setdefault((gemm.m, gemm.k, gemm.n), []).append(gemm.flops_per_s)
    for shape, rates in by_shape.items():
        products.add_row(" x ".join(map(str, shape)), *(f"{rate / 1e9:,.0f}" for rate in rates))
    console.print(products)
    attention = Table("attention", box=None, pad_edge=False)
    attention.add_column("GFLOP/s", justify="right")
    for rate in profile.attention:
        attention.add_row(f"{rate.sequence:,} tokens, {rate.heads} heads", f"{rate.flops_per_s / 1e9:,.0f}")
    console.print(attention)
    muon = Table("Muon's orthogonalisation", box=None, pad_edge=False)
    muon.add_column("GFLOP/s", justify="right")
    for one in profile.muon:
        muon.add_row(f"{one.short} x {one.long}", f"{one.flops_per_s / 1e9:,.0f}")
    console.print(muon)
    for link in profile.links:
        console.print(f"all-to-all among {link.devices} devices: {link.bytes_per_s / 1e9:.1f} GB/s a device")
    console.print(
        f"{len(profile.steps)} training steps explained by their parts; the worst of them, left out of the fit, "
        f"within {profile.fit_error:.0%}."
    )
    if profile.fit_error > WARN_ERROR:
        console.print("That is a lot: was the machine busy? Calibrate again when it is idle.")
    console.print(f"Written to {path} in {format_duration(profile.seconds)}; `plan` and `train` read it from there.")
