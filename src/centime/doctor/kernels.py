"""Our own kernels: which of them run here, and how near they come to the memory's speed."""

from __future__ import annotations

from centime.doctor.finding import ABSENT, OK, WARN, Finding
from centime.native.library import OFF, is_to_build, library, reason


def kernels() -> Finding:
    """The kernels' name, and the share of a plain read's bytes a second that a product of one row reaches."""
    from centime.native.speed import measure

    nothing: dict[str, object] = {"kernels": None}
    if is_to_build():
        return Finding("kernels", ABSENT, "not built yet: the first model that is opened builds them", "", nothing)
    found = library()
    if found is None:
        todo = f"unset {OFF}" if OFF in reason() else "install a C++ compiler such as g++"
        lost = f"{reason()}: PyTorch computes everything, and models in bf16 answer more slowly"
        return Finding("kernels", WARN, lost, todo, nothing)
    rates = measure(found)
    said = (
        f"{found.kernels}; one thread multiplies {rates.product / 1e9:.1f} GB/s of weights, "
        f"{rates.product / rates.read:.0%} of what a plain read has"
    )
    values = {"kernels": found.kernels, "read_bytes_per_s": rates.read, "product_bytes_per_s": rates.product}
    return Finding("kernels", OK, said, "", values)
