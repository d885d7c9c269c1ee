"""The kernels' functions as Python calls them, and why there are none where there are none."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

from centime.native.build import CannotBuild, build, target

OFF = "CENTIME_NATIVE"  # 0 in the environment: PyTorch computes everything
SOURCES = Path(__file__).resolve().parents[3] / "native"  # of a clone
_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "centime_linear": [_POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER, _NUMBER, _POINTER],
    "centime_by_heads": [
        *(_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER, _NUMBER)
    ],
    "centime_latent_attention": [
        *(_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, ctypes.c_float),
        *(_POINTER, _NUMBER, _POINTER, _NUMBER, _POINTER, _POINTER),
    ],
    "centime_project": [_POINTER, _POINTER, _NUMBER, _POINTER, _POINTER, _POINTER, _POINTER],
    "centime_rms_norm": [_POINTER, _NUMBER, _NUMBER, _NUMBER, _POINTER, ctypes.c_float, _POINTER, _NUMBER],
    "centime_rope": [
        *(_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _POINTER, _POINTER, _NUMBER, ctypes.c_int32),
        *(_POINTER, _NUMBER, _NUMBER),
    ],
    "centime_route": [
        *(_POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER, _POINTER, ctypes.c_int32, ctypes.c_int32),
        *(_NUMBER, _NUMBER, _NUMBER, ctypes.c_int32, ctypes.c_float, _POINTER, _POINTER, _POINTER),
    ],
    "centime_experts": [
        *(_POINTER, _NUMBER, _NUMBER, _POINTER, _POINTER, _NUMBER),
        *(_POINTER, _POINTER, _NUMBER, _NUMBER, _POINTER),
    ],
}


class Projections(ctypes.Structure):
    """`centime_projections` of native/centime.h: addresses of matrices and norms, and their sizes."""

    _fields_ = (
        *((name, _POINTER) for name in ("q_down", "q_norm", "q_up", "kv_down", "kv_norm")),
        *((name, _NUMBER) for name in ("width", "q_latent", "heads", "nope", "rope", "latent")),
        ("epsilon", ctypes.c_float),
        ("interleaved", ctypes.c_int32),
    )


class Library:
    """The functions of native/centime.h; addresses are those of contiguous memory that outlives the call."""

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path))
        for name, arguments in _ARGUMENTS.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, None
        self.rms_norm, self.rope, self.route = loaded.centime_rms_norm, loaded.centime_rope, loaded.centime_route
        self.project = loaded.centime_project
        loaded.centime_read.argtypes, loaded.centime_read.restype = [_POINTER, _NUMBER], ctypes.c_uint64
        loaded.centime_kernels.restype = ctypes.c_char_p
        loaded.centime_choose.argtypes = [ctypes.c_char_p]
        loaded.centime_threads.argtypes, loaded.centime_threads.restype = [ctypes.c_int32], None
        self._loaded = loaded
        self.linear, self.by_heads = loaded.centime_linear, loaded.centime_by_heads
        self.experts, self.latent_attention = loaded.centime_experts, loaded.centime_latent_attention

        self.read = loaded.centime_read

    @property
    def kernels(self) -> str:
        """The kernels that run: 'avx512_bf16', 'avx512', 'avx2' or 'portable'."""
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


def reason() -> str:
    """Why there is no library, a sentence without its full stop; empty where there is one."""
    return _found()[1]


@functools.cache
def _found() -> tuple[Library | None, str]:
    if os.environ.get(OFF) == "0":
        return None, f"{OFF}=0 turns our kernels off"
    if not SOURCES.is_dir():
        return None, "this installation came without our kernels' sources; a clone has them"
    try:
        return Library(build(SOURCES, _cache())), ""
    except CannotBuild as error:
        return None, str(error)
    except (OSError, RuntimeError) as error:  # no library that loads, or no home to keep one in
        return None, f"our kernels cannot be loaded: {error}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "centime"
