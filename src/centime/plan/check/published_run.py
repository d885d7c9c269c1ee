"""Reads one row in the schema of published training runs: model, chip, layout and software, with defaults where blank.

Columns that hold results, and notes (which quote them), are never read here: what the planner may know about a run is
what its owner knew before it started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, gcd

from centime.catalogue import models
from centime.catalogue.architecture import Architecture, ExpertsSpec
from centime.catalogue.chips import Chip, chip
from centime.errors import UserError
from centime.plan.counts.adapters import Adapters
from centime.plan.counts.architecture import count_architecture
from centime.plan.layouts.candidates import divisors
from centime.plan.layouts.usual import fastest_usual
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, Recompute, Schedule, parse
from centime.plan.step.memory import Recomputed, memory_of, recomputation, usable_bytes
from centime.plan.training.request import BATCH_TOKENS, SEQ, has_layout, recipes

Row = Mapping[str, str]
LEAST_TOKENS = 1024  # a chip and step: Llama-3.1-405B's 16M tokens on 16,384 chips (arXiv 2407.21783, table 4)
DEFAULT_GPUS = 512
FROZEN = Adapters(rank=0)  # LoRA: the sources tell no rank
TODAY = TrainingSoftware(2026.5)  # in which a micro-batch that is not stated has to fit
TUNED = ("nemo", "megatron", "transformer engine", "primus", "maxtext", "tpu", "mindformers", "mindspeed", "deepseek")
SOFTWARE_LAG_YEARS = 2.1  # from a chip's launch to the software of an undated run on it


@dataclass(frozen=True)
class PublishedRun:
    """A run as the planner sees it. `assumed` names what the row left open, a sentence each."""

    job: Job
    layout: Layout
    recomputed: Recomputed | None  # None: as the layout states
    known_layout: bool = True
    assumed: tuple[str, ...] = ()


def whole(row: Row, column: str) -> int | None:
    """A whole number from a column, None where it is blank. Raises UserError on text or on anything below one."""
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise UserError(f"{column} is {text!r}; expected a whole number.") from None
    if value < 1 or value != int(value):
        raise UserError(f"{column} is {text}; expected a whole number of at least 1.")
    return int(value)


def precision_of(text: str, chip: Chip) -> tuple[str, str]:
    """('mxfp8', '') from 'FP8-MX' and the like; with a sentence where it had to be assumed."""
    low = text.lower()
    if "fp8" in low and "row" in low:
        return "fp8-row", ""
    if "nvfp4" in low or "fp4" in low:
        return "nvfp4", ""
    if "mx" in low:
        return "mxfp8", ""
    if "fp8" in low and "bf16" not in low.split("/")[0]:
        return ("fp8", "") if chip.fp8_tflops else ("bf16", f"{chip.name} has no fp8: taken as bf16")
    return "bf16", "" if text.strip() else "precision is not stated: bf16"


def year_of(row: Row, chip: Chip) -> tuple[float, str]:
    """Date of the software as a year with its fraction.

    `software_date`; else the date in the source's name (an arXiv number, a release 'YY.MM'); else the chip's launch and
    2.1 years.
    """
    text = (row.get("software_date") or "").strip()
    if match := re.match(r"(20\d\d)-(\d\d)", text):
        return int(match[1]) + (int(match[2]) - 0.5) / 12, ""
    source = f"{row.get('software') or ''} {row.get('source') or ''}"
    if match := re.search(r"arXiv:(\d\d)(0[1-9]|1[0-2])\.\d{4,5}", source) or re.search(
        r"\b(2\d)\.(0[1-9]|1[0-2])\b", source
    ):
        return 2000 + int(match[1]) + (int(match[2]) - 0.5) / 12, "software dated by its source"
    launched = re.match(r"(\d{4})(?:-(\d\d))?", chip.launched)
    year = int(launched[1]) + (int(launched[2] or 6) - 0.5) / 12 if launched else 2023.0
    return min(year + SOFTWARE_LAG_YEARS, 2026.7), "software not dated: 2.1 years after the chip's launch"


def tuned_software(row: Row) -> bool:
    """Whether the row's software brings its chip maker's own kernels (Transformer Engine, XLA, CANN) or DeepSeek's.

    Runs of production are taken to: their makers tuned what they spent months on.
    """
    text = f"{row.get('software') or ''} {row.get('source') or ''} {row.get('gpu') or ''}".lower()
    if "benchmark" not in (row.get("kind") or ""):
        return True
    return any(word in text for word in TUNED)


def _sharding(text: str) -> int | None:
    low = text.strip().lower()
    if not low:
        return None
    if low.startswith("zero"):
        return int(low[-1])
    if low in ("full_shard", "hybrid_shard"):
        return 3
    return 1 if low in ("0", "shard_grad_op") else 3


def _schedule(text: str, pp: int, vp: int) -> Schedule:
    low = text.lower()
    if "dualpipev" in low:
        return "dualpipev"
    if "dualpipe" in low:
        return "dualpipe"
    if "zero" in low or low.startswith("zb"):
        return "zb"
    return "interleaved" if pp > 1 and (vp > 1 or "interleaved" in low) else "1f1b"


def _recompute(text: str) -> Recompute | None:
    low = text.lower()
    if not low:
        return None
    if low.startswith("full"):
        return "full"
    return "none" if low.startswith("none") else "selective"


def _divisor(number: int, most: int) -> int:
    return max(d for d in divisors(number) if d <= max(1, most))


def read_run(row: Row) -> PublishedRun:
    """Describe the run of a row. Raises UserError, naming the field, where it cannot be described."""
    if not (row.get("model") or "").strip():
        raise UserError("model is blank; expected a model's name.")
    if not (row.get("gpu") or "").strip():
        raise UserError("gpu is blank; expected a chip's name.")
    arch = models.from_sizes(**{key: value for key, value in row.items() if value})
    device = chip(row["gpu"])
    assumed = list(arch.assumptions)
    precision, note = precision_of(row.get("precision") or "", device)
    year, dated = year_of(row, device)
    software = TrainingSoftware(year, tuned_software(row))
    assumed += [text for text in (note, dated) if text]
    seq = whole(row, "seq_len")
    if seq is None:
        seq = SEQ
        assumed.append(f"seq_len not stated: {SEQ}")
    schedule: Schedule | None = None
    stated = any((row.get(column) or "").strip() for column in ("tp", "pp", "ep", "fsdp_zero", "micro_batch"))
    sharding = _sharding(row.get("fsdp_zero") or "")
    tp, pp, cp, ep = (whole(row, column) or 1 for column in ("tp", "pp", "cp", "ep"))
    vp = whole(row, "vp") or 1
    if pp * vp > 2 * arch.layers:  # some pipelines give the embedding and the head parts of their own
        raise UserError(f"pp x vp is {pp} x {vp}; {arch.name} has {arch.layers} layers to cut into stages.")
    gpus = whole(row, "n_gpus")
    known = stated and gpus is not None
    if gpus is None:
        shards = tp * pp * cp
        gpus = shards * ceil(DEFAULT_GPUS / shards)
        assumed.append(f"n_gpus not stated: {gpus}")
    batch = whole(row, "global_batch_seqs")
    micro = whole(row, "micro_batch")
    tokens = max(BATCH_TOKENS, LEAST_TOKENS * gpus)

    def batch_of(replicas: int) -> int:
        if batch is not None:
            return batch
        return micro * replicas if micro else max(replicas, round(tokens / seq / replicas) * replicas)

    recipe = recipes().get(arch.name, {}) if "production" in (row.get("kind") or "") else {}
    if not stated and has_layout(recipe, arch, device, gpus):
        made = parse(recipe["layout"], gpus)
        tp, pp, vp, ep, sharding, schedule = made.tp, made.pp, made.vp, made.ep, made.zero, made.schedule
        batch = batch or recipe["global_batch"]
        assumed.append(f"layout and batch not stated: as the model's makers had them, {recipe['source']}")
    elif not stated:
        job = Job(arch, device, seq, batch or batch_of(1), precision, software)
        most = max(1, round(tokens / seq)) if batch is None else batch  # more replicas would only enlarge the batch
        found = fastest_usual(job, gpus, batch_of, most, sharding)
        if found is not None:
            tp, pp, vp, ep, sharding = found.tp, found.pp, found.vp, found.ep, found.zero
        else:
            tp, pp, ep, sharding = _default_layout(arch, gpus, sharding)
        assumed.append(f"layout not stated: tp={tp}, pp={pp}, vp={vp}, ep={ep}, zero={sharding}")
    if gpus % (tp * pp * cp):
        raise UserError(f"n_gpus is {gpus}; it does not divide by tp x pp x cp = {tp} x {pp} x {cp}.")
    dp = gpus // (tp * pp * cp)
    if pp > 1 and micro and micro > 1 and (batch or micro * dp) <= micro * dp:
        micro = 1  # some sources (torchtitan) call a replica's whole batch its micro-batch; a pipeline cuts it up
        batch = batch or dp * (whole(row, "micro_batch") or 1)
        assumed.append("micro_batch is the replica's whole batch: the pipeline takes it one sequence at a time")
    if batch is None:
        batch = batch_of(dp)
        assumed.append(f"global batch not stated: {batch} sequences")
    if vp == 1 and pp > 1 and "interleaved" in (row.get("schedule") or "").lower():
        vp = _divisor(max(1, arch.layers // pp), 4) if arch.layers % pp == 0 else 2
        assumed.append(f"interleaved schedule without vp: {vp}")
    if stated and vp == 1 and pp > 1 and not (row.get("vp") or row.get("schedule") or "").strip() and year > 2023:
        vp = _divisor(max(1, round(arch.layers / pp)), 4)
        assumed.append(f"schedule not stated: interleaved, vp={vp}")
    per_replica = max(1, batch // dp)
    layout = Layout(
        gpus=gpus,
        tp=tp,
        pp=pp,
        vp=vp,
        cp=cp,
        ep=ep,
        zero=sharding or 1,
        micro_batch=micro or 1,
        schedule=schedule or _schedule(row.get("schedule") or "", pp, vp),
    )
    adapters = "lora" in (row.get("kind") or "").lower()
    job = Job(arch, device, seq, batch, precision, software, adapters=FROZEN if adapters else None)
    recomputed: Recomputed | None
    recompute = _recompute(row.get("recompute") or "")
    if micro is None:
        layout = replace(layout, micro_batch=_micro_batch(job, layout, per_replica, recompute))
        assumed.append(f"micro_batch not stated: {layout.micro_batch}")
    if recompute is None:
        least = memory_of(job, layout, Recomputed(1.0, 1.0)).total
        if least > usable_bytes(device) and layout.dp > 1 and not adapters:
            layout = replace(layout, zero=3)
            assumed.append("weights and optimizer do not fit whole: sharded over the replicas (zero=3)")
        recomputed = Recomputed(0.0, 0.0)
        if not adapters:
            recomputed = recomputation(job, layout)
        layout = replace(layout, recompute=recomputed.word)
        assumed.append(
            f"recompute not stated: as memory asks, the light part of {recomputed.light:.0%} of the layers and the "
            f"whole of {recomputed.full:.0%}"
        )
    else:
        layout = replace(layout, recompute=recompute)
        recomputed = None
    return PublishedRun(job, layout, recomputed, known, tuple(assumed))


def _micro_batch(job: Job, layout: Layout, most: int, recompute: Recompute | None) -> int:
    """The largest of 1, 2, 4, 8 sequences that divides a replica's and fits; one in a pipeline (smallest bubble).

    It has to fit in bf16, whatever the run's precision, with today's software.
    """
    job = replace(job, precision="bf16", software=TODAY)
    if layout.pp > 1:
        return 1
    best = 1
    for size in (2, 4, 8):
        trial = replace(layout, micro_batch=size, recompute=recompute or "none")
        if most % size == 0 and memory_of(job, trial).total <= usable_bytes(job.chip):
            best = size
    return best


def _default_layout(arch: Architecture, gpus: int, sharding: int | None) -> tuple[int, int, int, int]:
    """tp, pp, ep, zero by size where a source says nothing.

    Sharded data parallelism to 15 B parameters; experts over 8 chips, or 64 from 100 B parameters, in a pipeline of 8
    or 16; dense models beyond 15 B with tp=8 (4 below 30 B) and as many stages as leave 4 B parameters on a chip.
    """
    params = count_architecture(arch).total_params
    if params <= 15e9 or gpus % 8:
        return 1, 1, 1, sharding or 3
    experts = next((b.feed_forward.experts for b in arch.blocks if isinstance(b.feed_forward, ExpertsSpec)), 0)
    if experts:
        pp = _divisor(gpus, 1 if params < 60e9 else 8 if params < 300e9 else 16)
        return 1, pp, _divisor(gcd(experts, gpus // pp), 8 if params < 100e9 else 64), sharding or 1
    tp = 8 if params > 30e9 else 4
    pp = 1
    for size in (2, 4, 8, 16):
        if gpus % (tp * size) == 0 and params / (tp * pp) > 4e9:
            pp = size
    return tp, pp, 1, sharding or 1
