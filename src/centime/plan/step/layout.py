"""How a model is spread over chips: the degrees of every kind of parallelism, micro-batch, schedule, recomputation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from centime.catalogue.architecture import Architecture, ExpertsSpec, FeedForwardSpec, SoftmaxAttention
from centime.catalogue.chips import Chip
from centime.errors import UserError, nearest

Schedule = Literal["1f1b", "interleaved", "zb", "dualpipe", "dualpipev"]
BIDIRECTIONAL: frozenset[Schedule] = frozenset({"dualpipe", "dualpipev"})  # a forward beside another's backward
Recompute = Literal["none", "selective", "full"]


@dataclass(frozen=True)
class Layout:
    """One way to train on `gpus` chips: gpus = tp * cp * pp * dp, and ep divides dp * cp * tp."""

    gpus: int
    tp: int = 1  # tensor parallel, with sequence parallelism in between (arXiv 2205.05198)
    pp: int = 1  # pipeline stages
    vp: int = 1  # model chunks a stage (interleaved schedules)
    cp: int = 1  # context parallel
    ep: int = 1  # expert parallel; an expert's weights are replicated gpus / (pp * ep) times
    zero: int = 1  # 0: states replicated; 1: optimizer sharded over dp; 2: and gradients; 3: and weights (FSDP)
    micro_batch: int = 1  # sequences
    schedule: Schedule = "1f1b"
    recompute: Recompute = "none"

    @property
    def dp(self) -> int:
        """Data-parallel replicas of the dense part."""
        return self.gpus // (self.tp * self.cp * self.pp)

    def micro_batches(self, global_batch: int) -> int:
        """Micro-batches a replica works through in a step of `global_batch` sequences, at least one."""
        return max(1, -(-global_batch // (self.dp * self.micro_batch)))


_KEYS = {"mbs": "micro_batch"} | {
    key: key for key in ("tp", "pp", "vp", "cp", "ep", "dp", "zero", "micro_batch", "schedule", "recompute")
}
_WORDS = {"schedule": get_args(Schedule), "recompute": get_args(Recompute)}


def parse(text: str, gpus: int | None = None) -> Layout:
    """'pp=16,ep=64,dp=128,schedule=dualpipe' -> Layout.

    Keys: tp, pp, vp, cp, ep, dp, zero, mbs (micro_batch), schedule, recompute; what is not said is 1, or follows: dp
    from `gpus` (and `gpus` from dp where it is None), schedule=interleaved from vp. Raises UserError on unknown or
    repeated keys, on values that are no such number or word, and where tp * cp * pp * dp is not `gpus`.
    """
    values: dict[str, int | str] = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in item.partition("="))
        key = _KEYS.get(name.lower())
        if key is None or not equals:
            raise UserError(
                f"layout: {item!r} is not one of its settings; write key=value with a key among "
                f"{', '.join(k for k in _KEYS if k != 'micro_batch')}.{nearest(name.lower(), _KEYS)}"
            )
        if key in values:
            raise UserError(f"layout: {name} is given twice; give it once.")
        values[key] = _word(key, value) if key in _WORDS else _number(key, value)
    dp = values.pop("dp", None)
    if values.get("vp", 1) != 1:
        values.setdefault("schedule", "interleaved")
    outer = Layout(gpus=1, **values)  # type: ignore[arg-type]
    shards = outer.tp * outer.cp * outer.pp
    total = gpus if gpus is not None else shards * (dp if isinstance(dp, int) else 1)
    if total < 1:
        raise UserError(f"gpus: found {total}; a layout needs at least one.")
    if total % shards or (dp is not None and shards * int(dp) != total):
        product = f"tp {outer.tp} x cp {outer.cp} x pp {outer.pp}" + (f" x dp {dp}" if dp is not None else "")
        have = shards * (int(dp) if dp is not None else 1)
        fits = "must be" if dp is not None else "must divide"
        raise UserError(f"layout: {product} = {have} {fits} the number of gpus, {total}; change one of them.")
    return Layout(gpus=total, **values)  # type: ignore[arg-type]


def text(layout: Layout) -> str:
    """The layout as `parse` reads it, what is 1 or usual left out: 'pp=16,dp=128,ep=64,schedule=dualpipe'."""
    numbers = {"tp": layout.tp, "pp": layout.pp, "vp": layout.vp, "cp": layout.cp, "dp": layout.dp, "ep": layout.ep}
    items = [f"{key}={value}" for key, value in numbers.items() if value != 1 or key == "dp"]
    items += [f"zero={layout.zero}"] if layout.zero != 1 else []
    items += [f"mbs={layout.micro_batch}"] if layout.micro_batch != 1 else []
    items += [f"schedule={layout.schedule}"] if layout.pp > 1 else []
    return ",".join(items + ([f"recompute={layout.recompute}"] if layout.recompute != "none" else []))


def _number(key: str, value: str) -> int:
    lowest = 0 if key == "zero" else 1
    if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) < lowest:
        raise UserError(f"{key}: found {value!r}; write a whole number from {lowest} to 999999999.")
    return int(value)


def _word(key: str, value: str) -> str:
    words = _WORDS[key]
    if value.lower() not in words:
        raise UserError(f"{key}: found {value!r}; choose {', '.join(words)}.{nearest(value.lower(), words)}")
    return value.lower()


def validate(
    layout: Layout, arch: Architecture, chip: Chip, seq: int | None = None, global_batch: int | None = None
) -> None:
    """Raise UserError with the first reason why the layout cannot run: see `objections`."""
    for reason in objections(layout, arch, chip, seq, global_batch):
        raise UserError(reason)


def objections(
    layout: Layout, arch: Architecture, chip: Chip, seq: int | None = None, global_batch: int | None = None
) -> Iterator[str]:
    """Every reason, a sentence each that names its field, why this model cannot be spread so over such chips.

    Memory is not among them (`step.memory`). seq in tokens and global_batch in sequences add their own, where given.
    """
    for field in ("gpus", "tp", "pp", "vp", "cp", "ep", "micro_batch"):
        if getattr(layout, field) < 1:
            yield f"{field}: found {getattr(layout, field)}; it must be at least 1."
            return
    tp, pp, cp, dp = layout.tp, layout.pp, layout.cp, layout.dp
    if layout.zero not in (0, 1, 2, 3):
        yield f"zero: found {layout.zero}; choose 0, 1, 2 or 3."
    if tp * cp * pp * dp != layout.gpus:
        yield f"gpus: tp {tp} x cp {cp} x pp {pp} = {tp * cp * pp} does not divide {layout.gpus}; change one of them."
    yield from _tensor_objections(layout, arch, chip)
    yield from _expert_objections(layout, arch)
    divides = global_batch is None or global_batch % (dp * layout.micro_batch) == 0
    micro_batches = None if global_batch is None or not divides else layout.micro_batches(global_batch)
    yield from schedule_objections(layout.schedule, pp, layout.vp, micro_batches, arch.layers)
    if seq is not None and cp > 1 and seq % (2 * cp):
        # each rank takes two slices, an early and a late one, so that causal attention is even (Llama 3 report, 3.3.2)
        yield f"cp: sequences of {seq} tokens do not cut into 2 cp = {2 * cp} slices; choose another cp."
    if not divides:
        yield (
            f"dp: a batch of {global_batch} sequences does not divide into dp {dp} x micro_batch {layout.micro_batch}; "
            "change one of them."
        )


def _tensor_objections(layout: Layout, arch: Architecture, chip: Chip) -> Iterator[str]:
    tp = layout.tp
    if tp == 1:
        return
    if chip.scaleup_domain and tp > chip.scaleup_domain:
        yield (
            f"tp: {tp} reaches beyond the scale-up domain of {chip.name}, {int(chip.scaleup_domain)} chips; use at "
            f"most that many."
        )
    for block in arch.blocks:
        mixer, part = block.mixer, block.feed_forward
        if mixer is not None and mixer.heads % tp:
            yield f"tp: {tp} does not divide the {mixer.heads} heads of {arch.name}; choose a divisor."
            return
        if isinstance(mixer, SoftmaxAttention) and mixer.kv_heads % tp and tp % mixer.kv_heads:
            yield f"tp: {tp} and the {mixer.kv_heads} key-value heads of {arch.name} do not divide; choose a divisor."
            return
        if isinstance(part, FeedForwardSpec) and part.width % tp:
            yield f"tp: {tp} does not divide the feed-forward's width {part.width} of {arch.name}; choose a divisor."
            return


def _expert_objections(layout: Layout, arch: Architecture) -> Iterator[str]:
    ep, inner = layout.ep, layout.tp * layout.cp * layout.dp
    if ep == 1:
        return
    experts = [block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, ExpertsSpec)]
    if not experts:
        yield f"ep: {arch.name} has no experts; leave ep at 1."
    elif ep > min(experts) or min(experts) % ep:
        yield f"ep: {ep} does not divide the {min(experts)} experts of {arch.name}; choose a divisor."
    if inner % ep:
        yield f"ep: {ep} does not divide tp x cp x dp = {inner}; choose a divisor of it."


def schedule_objections(
    schedule: Schedule, pp: int, vp: int, micro_batches: int | None = None, layers: int | None = None
) -> Iterator[str]:
    """Why the schedule does not exist for `vp` chunks on each of `pp` stages. micro_batches: of a step and replica;
    layers: of the model; None: any number."""
    if schedule == "interleaved" and (vp < 2 or pp < 2):
        yield f"schedule: interleaved needs vp and pp of at least 2; found vp={vp}, pp={pp}."
    if schedule != "interleaved" and vp != 1:
        yield f"vp: only schedule=interleaved has several chunks a stage; found vp={vp} with {schedule}."
    if schedule in ("zb", "dualpipe", "dualpipev") and pp < 2:
        yield f"schedule: {schedule} needs pp of at least 2; found pp={pp}."
    elif schedule == "dualpipe" and pp % 2:
        yield f"schedule: dualpipe runs from both ends and needs an even pp; found pp={pp}."
    elif schedule in ("dualpipe", "dualpipev") and not _fills(schedule, pp, micro_batches):
        yield (
            f"schedule: {schedule} needs an even number of at least 2 pp = {2 * pp} micro-batches a replica; found "
            f"{micro_batches}. Use a larger batch, a smaller dp, or 1f1b."
        )
    parts = pp * vp * (2 if schedule == "dualpipev" else 1)
    if layers is not None and parts > layers:
        yield f"pp: the model has {layers} layers, too few for {parts} parts (pp x vp); choose smaller ones."


def _fills(schedule: Schedule, pp: int, micro_batches: int | None) -> bool:
    """Whether DualPipe (half of them from either end) or DualPipeV has its steady state."""
    return micro_batches is None or (micro_batches >= 2 * pp and (schedule != "dualpipe" or micro_batches % 2 == 0))
