"""What `centime calibrate` found out about a machine: rates of its own products, memory, attention and training steps.

A profile is a JSON file, $CENTIME_HOME/machine.json, that `plan` and `train` read. Nothing here needs torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from centime.catalogue.home import centime_home
from centime.errors import UserError
from centime.files.output import Output
from centime.json_files import brief, read_object

VERSION = 2


@dataclass(frozen=True)
class GemmRate:
    """A product [m, k] x [k, n]."""

    dtype: str  # bf16, fp32
    m: int
    k: int
    n: int
    flops_per_s: float


@dataclass(frozen=True)
class AttentionRate:
    """Causal attention forward and backward of one layer; model FLOPs, causal pairs counted once."""

    sequence: int
    heads: int
    key_dim: int
    value_dim: int
    flops_per_s: float


@dataclass(frozen=True)
class MuonRate:
    """Muon's orthogonalisation of a stack of matrices [short, long]; FLOPs of its products."""

    short: int
    long: int
    flops_per_s: float


@dataclass(frozen=True)
class Link:
    """An all-to-all among devices, bytes that one device sends a second."""

    devices: int
    bytes_each: int
    bytes_per_s: float


@dataclass(frozen=True)
class StepSample:
    """A whole training step of centime's own, measured: what the parts are fitted to."""

    depth: int  # the preset
    tokens: int
    sequence: int
    optimizer: str
    seconds: float


@dataclass(frozen=True)
class MachineProfile:
    """One machine, measured at one time."""

    device: str
    threads: int
    made: str  # ISO 8601, UTC
    torch: str
    dtype: str  # what a training step computes in here: bf16 or fp32
    memory_bytes_per_s: float  # a large copy, read and written bytes
    operator_s: float  # one small operator, from Python
    gemms: list[GemmRate]
    attention: list[AttentionRate]
    muon: list[MuonRate]
    links: list[Link]
    steps: list[StepSample]
    factors: dict[str, float] = field(default_factory=dict)  # fitted: what a part takes over its raw measurement
    fit_error: float = 0.0  # largest relative error of a left-out step sample
    seconds: float = 0.0  # that the calibration took
    version: int = VERSION

    def rate(self, dtype: str, m: float, k: float, n: float) -> float:
        """FLOP/s of a product of this size: that of the measured ones, weighted by nearness in log size."""
        import math

        near = weight_sum = 0.0
        for gemm in self.gemms:
            if gemm.dtype != dtype:
                continue
            distance = sum(math.log(a / b) ** 2 for a, b in ((m, gemm.m), (k, gemm.k), (n, gemm.n)))
            weight = 1.0 / (distance + 0.05) ** 2
            near += weight * math.log(gemm.flops_per_s)
            weight_sum += weight
        if not weight_sum:
            raise UserError(f"The machine's profile has no {dtype} products; run `centime calibrate` again.")
        return math.exp(near / weight_sum)

    def peak(self, dtype: str | None = None) -> float:
        """FLOP/s of the best product measured."""
        return max(gemm.flops_per_s for gemm in self.gemms if gemm.dtype == (dtype or self.dtype))


def profile_path() -> Path:
    """$CENTIME_HOME/machine.json."""
    return centime_home() / "machine.json"


def read_profile(path: Path | None = None) -> MachineProfile | None:
    """The profile, or None where there is none. Raises UserError on a file that is no profile."""
    path = path or profile_path()
    if not path.exists():
        return None
    again = "make it anew with `centime calibrate`"
    tree = read_object(path, again)
    if tree.get("version") != VERSION:
        raise UserError(
            f"{path} is no machine profile of version {VERSION}, but {brief(tree.get('version'))}; {again}."
        )
    from pydantic import TypeAdapter, ValidationError  # takes a tenth of a second

    from centime.catalogue.hf import explain

    try:
        profile = TypeAdapter(MachineProfile).validate_python(tree)
    except ValidationError as error:
        raise UserError(f"{explain(error, str(path))[:-1]}; {again}.") from None
    rates = [profile.memory_bytes_per_s, *(row.flops_per_s for row in profile.gemms)]
    rates += [row.flops_per_s for row in profile.attention] + [row.flops_per_s for row in profile.muon]
    rates += [row.bytes_per_s for row in profile.links] + [row.seconds for row in profile.steps]
    if min(rates) <= 0:
        raise UserError(f"{path} has a rate of {min(rates):g}; rates are more than 0: {again}.")
    return profile


def write_profile(profile: MachineProfile, path: Path | None = None) -> Path:
    """Writes it whole or not at all. Raises UserError where the folder cannot be written."""
    path = path or profile_path()
    profile_file(path).write_text(json.dumps(asdict(profile), indent=1))
    return path


def profile_file(path: Path) -> Output:
    """Where a profile goes: over nothing but another one, of an earlier version too."""
    return Output(path, "a machine profile", "name another --out", _is_profile, parents=True)


def _is_profile(path: Path) -> bool:
    return {"version", "made", "gemms", "attention", "steps"} <= read_object(path).keys()
