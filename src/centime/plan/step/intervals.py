"""How far off a predicted step may be: 80 % intervals from errors on runs that were left out of the fit.

step/constants.json keeps, for every run of the fit, where it lies (`features`) and by how much constants missed it that
were fitted without its (model, chip) cell, without its family of models, and without its generation of chips. A
prediction takes quantiles of these errors, nearer runs counting more: of the first kind where the fit knows the family
and the generation, the other two mixed in where few runs are near; of the second or third where it does not, of the
wider where it knows neither. Families differ more from each other than their runs do, so that the next one may lie
outside those seen: `wider` says by how much, as scripts/widening.py measured on each in turn.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from centime.catalogue.architecture import Architecture
from centime.messages import Said, said
from centime.plan.step.efficiency import FILE, generation
from centime.plan.step.job import Job, roofline_seconds
from centime.plan.step.layout import Layout
from centime.plan.step.times import StepTimes

# The quantiles that cover four of five: 0.10 and 0.90 for runs like those left out, 87 % of runs that the fit has seen.
SHARES = (0.11, 0.89)
REACH = 1.0  # distance at which a run counts 1/e
NEAR = 0.3  # the same among runs whose family and generation are known
FAR = 2.0  # runs near by (each counts at most 1) beside which what is unlike all that was measured counts as much
LEAST = 0.02  # of the natural logarithm to either side: nothing is known better
# Root mean square of log(actual / predicted) seconds of published LoRA and QLoRA, and the quantile of Student's t that
# covers four of five for so few: docs/plan.md names them (torchtune, Answer.AI: two on a base of 16 bits, three on one
# of 4). They are none of the fit.
ADAPTERS = {True: (0.122, 1.886), False: (0.314, 1.638)}  # by whether the base is kept in 16 bits
KINDS = ("cell", "family", "generation")


@dataclass(frozen=True)
class Errors:
    """The runs of the fit: features, and natural logarithms of predicted over actual seconds by what was left out.

    groups: each run's cell (a number), family of models and generation of chips. wider: factors on the quantiles, by
    kind. cells: the model and the chip of each number.
    """

    points: tuple[tuple[float, ...], ...]
    errors: dict[str, tuple[float, ...]]
    groups: dict[str, tuple[str, ...]]
    wider: dict[str, float]
    cells: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=1)
def errors() -> Errors:
    """The left-out errors of step/constants.json."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))["left_out"]
    return Errors(
        tuple(map(tuple, stored["features"])),
        {kind: tuple(stored[kind]) for kind in KINDS},
        {kind: tuple(stored[f"{kind}_of"]) for kind in KINDS},
        stored["wider"],
        tuple(map(tuple, stored["cells"])),
    )


def model_family(arch: Architecture) -> str:
    """'meta-llama/Llama-3.1-8B' -> 'llama': the first word of a model's name, its owner left out."""
    name = arch.name.rsplit("/", 1)[-1].lower()
    name = re.sub(r"^(nvidia|meta)-", "", name)
    return re.split(r"[^a-z]", name)[0] or name


def features(job: Job, layout: Layout, times: StepTimes) -> tuple[float, ...]:
    """Where a run lies among others, each feature scaled so that 1 is a difference that matters."""
    arch, seq = job.arch, job.seq
    kind = generation(job.chip)
    total = times.total
    apart = sum(times.parts.get(name, 0.0) for name in ("tensor_parallel", "expert_parallel", "data_parallel"))
    mixers = any(type(block.mixer).__name__ == "StateSpace" for block in arch.blocks)
    return (
        1.0 * arch.is_mixture,
        0.7 * mixers,
        1.0 * (kind == "ampere") - 1.0 * (kind == "blackwell"),
        1.5 * (job.chip.vendor != "NVIDIA"),
        {"bf16": 0.0, "nvfp4": 1.0}.get(job.precision, 0.6),
        0.7 * job.software.tuned,
        0.25 * math.log2(max(1.0, layout.gpus / 8)),
        0.25 * math.log2(layout.micro_batch * seq / layout.cp / 4096),
        2.0 * times.parts.get("launch", 0.0) / total,
        2.0 * apart / total,
        0.25 * math.log2(arch.hidden / 4096),
    )


def spread(
    point: tuple[float, ...], known: Errors, kind: str = "cell", unlike: str | None = None
) -> tuple[float, float]:
    """The outer quantiles of log(actual / predicted) seconds around a point, times what `known` says of the kind.

    Where few runs are near, errors on families and generations left out make up most of what is looked at, and the
    spread is theirs. unlike: a cell, family or generation whose own runs are not looked at.
    """
    groups = known.groups.get(kind, ())
    others = [i for i, _ in enumerate(known.points) if unlike is None or groups[i] != unlike]
    reach = NEAR if kind == "cell" else REACH
    weighted = [(-known.errors[kind][i], math.exp(-math.dist(point, known.points[i]) / reach)) for i in others]
    if kind == "cell":  # as if so many runs of families and generations never seen lay beside it
        far = [-known.errors[other][i] for other in KINDS[1:] if other in known.errors for i in others]
        weighted += [(error, FAR / len(far)) for error in far]
    weighted.sort()
    total = sum(weight for _, weight in weighted)
    low, high = (_quantile(weighted, share * total) for share in SHARES)
    factor = known.wider.get(kind, 1.0)
    return min(-LEAST, low) * factor, max(LEAST, high) * factor


def _quantile(weighted: list[tuple[float, float]], mass: float) -> float:
    passed = 0.0
    for value, weight in weighted:
        passed += weight
        if passed >= mass:
            return value
    return weighted[-1][0]


def nearest_measured(job: Job, layout: Layout, times: StepTimes) -> Said:
    """One sentence: which published run is nearest to the step, how far, and what of it was never measured."""
    known, point = errors(), features(job, layout, times)
    near = min(range(len(known.points)), key=lambda i: math.dist(point, known.points[i]))
    model, chip = known.cells[int(known.groups["cell"][near])]
    run = said(
        "{model} on {chip}, {far:.1f} away where 1 is a difference that matters",
        model=model,
        chip=chip,
        far=math.dist(point, known.points[near]),
    )
    own = {"model": job.arch.name, "chip": job.chip.name}
    models, chips = ({cell[i] for cell in known.cells} for i in (0, 1))
    if (job.arch.name, job.chip.name) in known.cells:
        return said("Nearest measured run: {run}; {model} on {chip} is among the measured ones.", run=run, **own)
    if job.arch.name in models and job.chip.name in chips:
        return said("Nearest measured run: {run}; {model} and {chip} were measured, but not together.", run=run, **own)
    if job.arch.name in models:
        return said("Nearest measured run: {run}; nothing on {chip}.", run=run, chip=job.chip.name)
    if job.chip.name in chips:
        return said("Nearest measured run: {run}; nothing of {model}.", run=run, model=job.arch.name)
    return said("Nearest measured run: {run}; nothing of {model}, and nothing on {chip}.", run=run, **own)


def step_interval(job: Job, layout: Layout, times: StepTimes) -> tuple[float, float]:
    """Factors on the predicted seconds of a step between which the actual lies in four of five cases; the lower one
    stays above what the chips' peaks allow. Adapters add the error of published runs that tune them."""
    known, point = errors(), features(job, layout, times)
    kinds = ["family"] if model_family(job.arch) not in known.groups["family"] else []
    kinds += ["generation"] if generation(job.chip) not in known.groups["generation"] else []
    spreads = [spread(point, known, kind) for kind in kinds or ["cell"]]
    low, high = min(low for low, _ in spreads), max(high for _, high in spreads)
    if job.adapters is not None and job.adapters.rank:  # rank 0: rows of the fit whose adapters nobody describes
        error = math.prod(ADAPTERS[job.adapters.base == "bf16"])
        low, high = -math.hypot(low, error), math.hypot(high, error)
    fast, slow = math.exp(low), math.exp(high)
    return max(fast, min(1.0, roofline_seconds(job, layout.gpus) / times.total)), slow
