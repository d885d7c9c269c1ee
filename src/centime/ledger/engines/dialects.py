"""The metrics pages of engines as one kind of reading: tokens by model, what ran, how long it was busy.

Names as excerpts of their sources and programs that read them have them: vLLM's v1/metrics/loggers.py; SGLang's
srt/observability/metrics_collector.py; llama-server's tools/server (`--metrics`), whose prompt counter leaves out
cached tokens; ours, serve/http/metrics.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from centime.errors import UserError
from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.ledger.imports.samples import UNNAMED, PageSample, model_of, samples_of

# what is counted -> the names it goes by, newest first: the first on the page is taken. NAME{label=value} is of one
# label's value.
_DIALECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm": {
        "prompt": ("vllm:prompt_tokens_total",),
        "cached": (
            "vllm:prompt_tokens_cached_total",
            "vllm:prefix_cache_hits_total",
            "vllm:gpu_prefix_cache_hits_total",
        ),
        "decoded": ("vllm:generation_tokens_total",),
        "requests": ("vllm:request_success_total",),
        "running": ("vllm:num_requests_running",),
        "spent": ("vllm:request_inference_time_seconds_sum",),
        "held": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "started": ("vllm:prompt_tokens_created",),
    },
    "sglang": {
        "prompt": ("sglang:prompt_tokens_total",),
        "cached": ("sglang:cached_tokens_total",),
        "decoded": ("sglang:generation_tokens_total",),
        "requests": ("sglang:num_requests_total",),
        "running": ("sglang:num_running_reqs",),
        "busy": ("sglang:gpu_execution_seconds_total",),
        "held": ("sglang:num_used_tokens",),
        "started": ("sglang:prompt_tokens_created",),
    },
    "llamacpp": {
        "computed": ("llamacpp:prompt_tokens_total",),
        "cached": ("llamacpp:prompt_tokens_cached_total",),
        "decoded": ("llamacpp:tokens_predicted_total",),
        "running": ("llamacpp:requests_processing",),
        "spent": ("llamacpp:prompt_seconds_total", "llamacpp:tokens_predicted_seconds_total"),
        "held": ("llamacpp:kv_cache_tokens",),
    },
    "centime": {
        "computed": ("centime_tokens_total{kind=miss}",),
        "cached": ("centime_tokens_total{kind=hit}",),
        "decoded": ("centime_tokens_total{kind=output}",),
        "requests": ("centime_answers_total",),
        "running": ("centime_running_requests",),
        "busy": ("centime_busy_seconds_total",),
    },
}
_SUMMED = {"spent"}  # every name that the page has is added up: seconds of two phases
_PROCESS_START = "process_start_time_seconds"
_BLOCKS = "vllm:cache_config_info"
_WORDS = {
    "cached": "tokens found in the cache",
    "requests": "finished requests",
    "running": "requests that run",
    "held": "the context that is read",
}  # what a page may lack, as a person calls it


@dataclass(frozen=True)
class EngineCounters:
    """Counters of one model, since its server's start."""

    computed: int = 0  # prompt tokens that went through the model
    cached: int = 0  # prompt tokens found in the prefix cache
    decoded: int = 0
    requests: int = 0


@dataclass(frozen=True)
class EngineReading:
    """What a page said at a moment. Counters are since the server's start."""

    dialect: str
    moment_ns: int  # since the epoch
    models: dict[str, EngineCounters]
    running: int  # requests, of all models; 0 where the page does not say
    busy_s: Decimal | None = None  # of the engine's own clock of being busy
    spent_s: Decimal | None = None  # that finished requests were worked on, added up over requests
    held: Decimal | None = None  # tokens in the cache that running requests hold
    started: Decimal | None = None  # a mark of this life of the server; None where the page has none
    lacking: tuple[str, ...] = field(default=())
    energy: EnergyUse = NO_ENERGY  # of the machine since the watch began

    def called(self, name: str) -> EngineReading:
        """The same, its model without a name by this one."""
        models = dict(self.models)
        if name and name not in models and UNNAMED in models:
            models[name] = models.pop(UNNAMED)
        return replace(self, models=models)


def read_engine(text: str, origin: str, moment_ns: int) -> EngineReading:
    """The reading of a page. Raises UserError where it is of no engine that is known, or a line is wrong."""
    dialect = next((name for name, names in _DIALECTS.items() if _names_one(text, names)), None)
    if dialect is None:
        raise UserError(
            f"{origin} shows none of the counters of vLLM (vllm:prompt_tokens_total), SGLang "
            "(sglang:prompt_tokens_total), llama-server (llamacpp:prompt_tokens_total) or centime "
            "(centime_tokens_total); start the engine with its metrics turned on, and give the address of that page."
        )
    names = _DIALECTS[dialect]
    wanted = {_plain(name) for alternatives in names.values() for name in alternatives}
    samples = samples_of(text, origin, wanted | {_PROCESS_START, _BLOCKS})
    found = {what: _found(samples, alternatives, what in _SUMMED) for what, alternatives in names.items()}

    def total(what: str) -> Decimal | None:
        return sum((sample.value for sample in found[what]), Decimal()) if found.get(what) else None

    started = found.get("started") or [sample for sample in samples if sample.name == _PROCESS_START]
    return EngineReading(
        dialect,
        moment_ns,
        _models(found),
        int(total("running") or 0),
        _longest(found.get("busy", [])),
        total("spent"),
        _tokens_held(found.get("held", []), samples),
        min((sample.value for sample in started), default=None),
        tuple(words for what, words in _WORDS.items() if not found.get(what)),
    )


def _plain(name: str) -> str:
    return name.partition("{")[0]


def _names_one(text: str, names: dict[str, tuple[str, ...]]) -> bool:
    (counter,) = names.get("prompt") or names["computed"]
    return f"\n{_plain(counter)}" in f"\n{text}" or f" {_plain(counter).removesuffix('_total')}" in text


def _found(samples: list[PageSample], alternatives: tuple[str, ...], all_of_them: bool) -> list[PageSample]:
    found: list[PageSample] = []
    for alternative in alternatives:
        name, _, condition = alternative.rstrip("}").partition("{")
        label, _, value = condition.partition("=")
        found += [one for one in samples if one.name == name and (not label or one.labels.get(label) == value)]
        if found and not all_of_them:
            break
    return found


def _models(found: dict[str, list[PageSample]]) -> dict[str, EngineCounters]:
    """By model; hits are of the prompt's tokens, where the prompt's counter has them too."""
    sums: dict[str, dict[str, int]] = {}
    for what in ("prompt", "computed", "cached", "decoded", "requests"):
        totals: dict[str, Decimal] = {}
        for sample in found.get(what, []):
            totals[model_of(sample)] = totals.get(model_of(sample), Decimal()) + sample.value
        for model, total in totals.items():
            sums.setdefault(model, {})[what] = int(total)
    made = {}
    for model, of in sums.items():
        prompt, cached = of.get("prompt"), of.get("cached", 0)
        computed = of.get("computed", 0) if prompt is None else max(0, prompt - cached)
        cached = cached if prompt is None else min(prompt, cached)
        made[model] = EngineCounters(computed, cached, of.get("decoded", 0), of.get("requests", 0))
    return made


def _longest(samples: Iterable[PageSample]) -> Decimal | None:
    """Seconds of the busiest rank: ranks work at the same time, categories of work one after the other."""
    ranks: dict[tuple[tuple[str, str], ...], Decimal] = {}
    for sample in samples:
        rank = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "category"))
        ranks[rank] = ranks.get(rank, Decimal()) + sample.value
    return max(ranks.values(), default=None)


def _tokens_held(held: list[PageSample], samples: list[PageSample]) -> Decimal | None:
    """Tokens in the cache; vLLM says a share of its blocks, and in labels how many and how large they are."""
    if not held:
        return None
    if not held[0].name.startswith("vllm:"):
        return sum((sample.value for sample in held), Decimal())
    room = {}
    for sample in samples:
        blocks, size = sample.labels.get("num_gpu_blocks", ""), sample.labels.get("block_size", "")
        if sample.name == _BLOCKS and blocks.isdecimal() and size.isdecimal():
            room[sample.labels.get("engine", "")] = int(blocks) * int(size)
    shares = [(sample.value, room.get(sample.labels.get("engine", ""))) for sample in held]
    return None if any(of is None for _, of in shares) else sum((share * (of or 0) for share, of in shares), Decimal())
