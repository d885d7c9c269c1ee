"""Runs between two runs: some inputs of one, the others of the other, and what each pair of inputs is called.

`plan explain` asks what each difference between A and B costs. A coalition takes every cause either from A or from B,
as a real request that the planner can answer; all of A is A itself, all of B is B itself.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from centime.catalogue.architecture import Architecture, LatentAttention, Mixer, SoftmaxAttention
from centime.catalogue.chips import Chip
from centime.messages import Said, said
from centime.plan.counts.architecture import count_architecture
from centime.plan.counts.reshape import resized, with_attention
from centime.plan.training.searched_step import SearchedStep

INTERCONNECT = ("scaleup_gb_s", "scaleup_domain", "scaleout_gb_s")


# cause -> what is swapped; the first six and "cluster" change the request, in this order in every table.
CAUSES = ("size", "sparsity", "attention", "precision", "overlap", "interconnect", "chip", "cluster")


def differing(a: SearchedStep, b: SearchedStep) -> list[str]:
    """The causes in which two runs differ."""
    other_size = abs(a.total_params / b.total_params - 1) > 1e-3
    differs = {
        "size": a.arch != b.arch and other_size,
        "sparsity": a.arch != b.arch,
        "attention": a.arch != b.arch and _attention(a.arch) != _attention(b.arch),
        "precision": a.precision != b.precision,
        "overlap": (a.schedule, a.software_date) != (b.schedule, b.software_date),
        "interconnect": _links(a.chip) != _links(b.chip),
        "chip": replace(a.chip, **_links(b.chip)) != b.chip,  # type: ignore[arg-type]
        "cluster": (a.gpus, a.seq, a.global_batch) != (b.gpus, b.seq, b.global_batch),
    }
    return [cause for cause in CAUSES if differs[cause]]


def coalition(a: SearchedStep, b: SearchedStep, from_b: frozenset[str]) -> SearchedStep:
    """The run with the causes `from_b` taken from `b` and all others from `a`.

    size: parameters in all. sparsity: the shape that is brought to this size: experts and how many a token visits, or
    dense; depth to width; vocabulary. attention: kind of attention and heads per unit of width. interconnect: link
    speeds and the scale-up domain. chip: compute, memory. cluster: chips, sequence, global batch.
    """

    def pick(cause: str) -> SearchedStep:
        return b if cause in from_b else a

    shape, attention = pick("sparsity").arch, pick("attention").arch
    arch = resized(shape, pick("size").total_params)
    if attention != shape:
        arch = with_attention(arch, attention)
    return SearchedStep(
        arch=arch,
        chip=replace(pick("chip").chip, **_links(pick("interconnect").chip)),  # type: ignore[arg-type]
        gpus=pick("cluster").gpus,
        seq=pick("cluster").seq,
        global_batch=pick("cluster").global_batch,
        precision=pick("precision").precision,
        schedule=pick("overlap").schedule,
        software_date=pick("overlap").software_date,
    )


def describe(cause: str, at: SearchedStep) -> Said:
    """What a run has of a cause: '671 B parameters', 'MLA, 128 heads', '2,048 chips, 15,360 x 4,096 tokens a step'."""
    counts = count_architecture(at.arch)
    match cause:
        case "size":
            return said("{params:count} parameters", params=counts.total_params)
        case "sparsity":
            share = counts.active_params / counts.total_params
            return (
                said("{share:.1f} % active, {layers} layers", share=100 * share, layers=at.arch.layers)
                if at.arch.is_mixture
                else said("dense, {layers} layers", layers=at.arch.layers)
            )
        case "attention":
            return _attention_name(at.arch)
        case "precision":
            return said(at.precision)
        case "overlap":
            schedule = said(at.schedule or "best schedule")
            return (
                said("{schedule}, {date:date}", schedule=schedule, date=at.software_date)
                if at.software_date
                else schedule
            )
        case "interconnect":
            chip = at.chip
            return said(
                "{up:g} GB/s among {domain:g}, {out:g} GB/s beyond",
                up=_known(chip.scaleup_gb_s), domain=_known(chip.scaleup_domain), out=_known(chip.scaleout_gb_s),
            )  # fmt: skip
        case "chip":
            chip = at.chip
            return said(
                "{flops:g} TFLOPS bf16, {memory:g} GB at {speed:g} TB/s",
                flops=_known(chip.bf16_tflops), memory=_known(chip.memory_gb), speed=_known(chip.memory_tb_s),
            )  # fmt: skip
    parts = {"gpus": at.gpus, "batch": at.global_batch, "seq": at.seq}
    return said("{gpus:,|chip|chips}, {batch:,} x {seq:,} tokens a step", **parts)


def _links(chip: Chip) -> dict[str, object]:
    return {name: getattr(chip, name) for name in INTERCONNECT}


def _attention(arch: Architecture) -> list[tuple[Mixer | None, float]]:
    """Mixers, heads per unit of width and shares of layers: what `with_attention` would carry over."""
    return [(block.mixer, block.repeat / arch.layers) for block in arch.blocks] + [(None, arch.hidden)]


def _attention_name(arch: Architecture) -> Said:
    names = list(dict.fromkeys(_mixer_name(block.mixer) for block in arch.blocks if block.mixer is not None))
    return functools.reduce(lambda a, b: said("{a} + {b}", a=a, b=b), names) if names else said("none")


def _mixer_name(mixer: Mixer) -> Said:
    if isinstance(mixer, LatentAttention):
        return said("{kind}, {heads} heads", kind="MLA", heads=mixer.heads)
    if isinstance(mixer, SoftmaxAttention):
        kind = "MHA" if mixer.kv_heads == mixer.heads else "MQA" if mixer.kv_heads == 1 else "GQA"
        return said("{kind}, {heads} heads", kind=kind, heads=mixer.heads)
    return said(type(mixer).__name__)


def _known(value: float | None) -> float | str:
    return "–" if value is None else value
