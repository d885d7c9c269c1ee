"""The kernels' functions as Python calls them, and why there are none where there are none."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
from pathlib import Path

from centime.native.build import CannotBuild, build, target
from centime.version import version

OFF = "CENTIME_NATIVE"  # 0 in the environment: PyTorch computes everything
SOURCES = Path(__file__).resolve().parents[3] / "native"  # of a clone
_POINTER, _NUMBER, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
KINDS = {"bf16": 0, "int8": 1, "int4": 2, "fp8": 3}  # of matrices, in native/centime.h


class Matrix(ctypes.Structure):
    """`centime_matrix`: the address of a matrix' panels, its outputs, inputs and kind."""

    _fields_ = (("panels", _POINTER), ("outputs", _NUMBER), ("inputs", _NUMBER), ("kind", _INT))


class PastEntries(ctypes.Structure):
    """`centime_past`: addresses of the pages, of queries' tables and of their lengths; a page's and a table's size."""

    _fields_ = (
        *((name, _POINTER) for name in ("pages", "tables", "lengths")),
        *((name, _NUMBER) for name in ("page", "longest")),
    )


class HeadRows(ctypes.Structure):
    """`centime_heads`: rows of heads; numbers from one row to the next, and from one head to the next."""

    _fields_ = (
        ("numbers", _POINTER),
        *((name, _NUMBER) for name in ("rows", "heads", "width", "row_stride", "head_stride")),
    )


class RouterRule(ctypes.Structure):
    """`centime_router`: a router's matrix, and how experts are chosen of what it gives."""

    _fields_ = (
        *(("weight", Matrix), ("bias", _POINTER)),
        *((name, _NUMBER) for name in ("groups", "kept", "chosen")),
        ("factor", ctypes.c_float),
        *((name, _INT) for name in ("softmax", "group_by", "normalise")),
    )


class Layer(ctypes.Structure):
    """`centime_layer`: a decoder layer's norms, matrices and sizes."""

    _fields_ = (
        *((name, _POINTER) for name in ("attention_norm", "q_norm", "kv_norm", "ffn_norm")),
        *((name, Matrix) for name in ("q_down", "q_up", "kv_down", "uk", "uv", "out", "gate_up", "down")),
        *((name, Matrix) for name in ("shared_gate_up", "shared_down")),
        ("router", ctypes.POINTER(RouterRule)),
        *((name, _NUMBER) for name in ("heads", "nope", "rope", "latent", "experts")),
        *((name, ctypes.c_float) for name in ("norm_epsilon", "latent_epsilon", "scale")),
        ("interleaved", _INT),
    )


class FloatExperts(ctypes.Structure):
    """`centime_experts_of`: addresses of experts' matrices in float32, how many there are, a row's and theirs width."""

    _fields_ = (
        *((name, _POINTER) for name in ("gate_up", "down")),
        *((name, _NUMBER) for name in ("count", "width", "inner")),
    )


class FloatRouting(ctypes.Structure):
    """`centime_routing`: addresses of rows' experts and gates, the number of rows, and of experts that each visits."""

    _fields_ = (
        *((name, _POINTER) for name in ("experts", "gates")),
        *((name, _NUMBER) for name in ("rows", "chosen")),
    )


class FloatSlopes(ctypes.Structure):
    """`centime_experts_slopes`: addresses of the gradients of rows, gates and both matrices."""

    _fields_ = tuple((name, _POINTER) for name in ("x", "gates", "gate_up", "down"))


_EXPERTS, _ROUTING, _SLOPES = (ctypes.POINTER(kind) for kind in (FloatExperts, FloatRouting, FloatSlopes))
_MATRIX, _LAYER, _PAST, _HEADS = (ctypes.POINTER(kind) for kind in (Matrix, Layer, PastEntries, HeadRows))
_ARGUMENTS = {
    "pack": [_POINTER, _POINTER, _NUMBER, _NUMBER, _INT, _MATRIX],
    "linear": [_POINTER, _NUMBER, _NUMBER, _MATRIX, _POINTER],
    "by_heads": [*(_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _MATRIX), *(_POINTER, _NUMBER, _NUMBER)],
    "experts": [*(_POINTER, _NUMBER, _POINTER, _POINTER, _NUMBER), *(_MATRIX, _MATRIX, _NUMBER, _POINTER)],
    "latent_attention": [_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, ctypes.c_float, _PAST, _POINTER],
    "grouped_attention": [_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, ctypes.c_float, _PAST, _POINTER],
    "causal_attention": [_HEADS, _HEADS, _HEADS, ctypes.c_float, _POINTER],
    "rms_norm": [_POINTER, _NUMBER, _NUMBER, _NUMBER, _POINTER, ctypes.c_float, _POINTER, _NUMBER],
    "rope": [
        *(_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _POINTER, _POINTER, _NUMBER, _INT),
        *(_POINTER, _NUMBER, _NUMBER),
    ],
    "route": [ctypes.POINTER(RouterRule), _POINTER, _NUMBER, _POINTER, _POINTER, _POINTER],
    "layer_project": [_LAYER, _POINTER, _NUMBER, _POINTER, _POINTER, _POINTER, _POINTER],
    "layer_attend": [_LAYER, _POINTER, _NUMBER, _PAST, _POINTER],
    "layer_finish": [_LAYER, _POINTER, _POINTER, _NUMBER, _POINTER],
    "routed_forward": [_EXPERTS, _ROUTING, _POINTER, _POINTER, _POINTER],
    "routed_backward": [_EXPERTS, _ROUTING, _POINTER, _POINTER, _POINTER, _SLOPES],
    "orthogonalise": [_POINTER, _NUMBER, _NUMBER, _NUMBER, _POINTER, _NUMBER],
}


class Library:
    """The functions of native/centime.h; addresses are those of contiguous memory that outlives the call."""

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path))
        functions = {name: getattr(loaded, f"centime_{name}") for name in _ARGUMENTS}
        for name, arguments in _ARGUMENTS.items():
            functions[name].argtypes, functions[name].restype = arguments, None
        self.pack = functions["pack"]
        self.linear, self.by_heads, self.experts = (functions[name] for name in ("linear", "by_heads", "experts"))
        self.rms_norm, self.rope, self.route = (functions[name] for name in ("rms_norm", "rope", "route"))
        self.latent_attention, self.grouped_attention = functions["latent_attention"], functions["grouped_attention"]
        self.causal_attention = functions["causal_attention"]
        self.layer_project, self.layer_attend = functions["layer_project"], functions["layer_attend"]
        self.layer_finish = functions["layer_finish"]
        self.orthogonalise = functions["orthogonalise"]
        self.routed_forward, self.routed_backward = functions["routed_forward"], functions["routed_backward"]
        self.cross_entropy = loaded.centime_cross_entropy
        self.cross_entropy.argtypes = [*(_POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER), *[_POINTER] * 4]
        self.cross_entropy.restype = ctypes.c_float
        self.read = loaded.centime_read
        self.read.argtypes, self.read.restype = [_POINTER, _NUMBER], ctypes.c_uint64
        loaded.centime_kernels.restype = ctypes.c_char_p
        loaded.centime_choose.argtypes = [ctypes.c_char_p]
        loaded.centime_threads.argtypes, loaded.centime_threads.restype = [ctypes.c_int32], None
        self._loaded = loaded

    @property
    def kernels(self) -> str:
        """The kernels that run: 'amx', 'avx512_bf16', 'avx512_vnni', 'avx512', 'avx2' or 'portable'."""
        return str(self._loaded.centime_kernels().decode())

    def choose(self, kernels: str) -> bool:
        """Takes other kernels; False, and nothing changes, where this processor has not got them."""
        return bool(self._loaded.centime_choose(kernels.encode()))

    def use_threads(self, count: int) -> None:
        """How many threads share a product from now on, the caller among them."""
        self._loaded.centime_threads(count)


def library() -> Library | None:
    """The library, built if need be; None where there is none (`reason` says why)."""
    return _found()[0]


def is_to_build() -> bool:
    """Whether there would be a library, but it has yet to be built."""
    if os.environ.get(OFF) == "0" or not SOURCES.is_dir():
        return False
    try:
        return not target(SOURCES, _cache()).exists()
    except (CannotBuild, OSError, RuntimeError):
        return False


def kernels() -> str:
    """The kernels that run here; empty where PyTorch computes everything."""
    found = library()
    return found.kernels if found else ""


def is_vectorised() -> bool:
    """Whether kernels run that were written for instructions of this processor."""
    return kernels() not in ("", "portable")


def reason() -> str:
    """Why there is no library, a sentence without its full stop; empty where there is one."""
    return _found()[1]


@functools.cache
def _found() -> tuple[Library | None, str]:
    if os.environ.get(OFF) == "0":
        return None, f"{OFF}=0 turns our kernels off"
    try:
        if is_to_build() and sys.stderr.isatty():
            print("centime: compiling its kernels for this processor, this once.", file=sys.stderr)
        return Library(build(SOURCES, _cache()) if SOURCES.is_dir() else _installed()), ""
    except CannotBuild as error:
        return None, str(error)
    except (OSError, RuntimeError) as error:  # no library that loads, or no home to keep one in
        return None, f"our kernels cannot be loaded: {error}"


def _installed() -> Path:
    """The library of the distribution centime-native. Raises CannotBuild where there is none of this version."""
    try:
        found = importlib.import_module("centime_native")
    except ModuleNotFoundError:
        raise CannotBuild("this installation came without our kernels: centime-native has them, or a clone") from None
    if found.__version__ != version():
        raise CannotBuild(f"centime-native {found.__version__} is not of centime's version, {version()}")
    return Path(found.LIBRARY)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "centime"
