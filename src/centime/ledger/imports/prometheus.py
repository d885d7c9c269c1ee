"""The Prometheus pages of vLLM and SGLang: tokens and requests since the server's start.

Names as their sources register them: vLLM's v1/metrics/loggers.py, SGLang's srt/observability/metrics_collector.py;
prometheus_client adds `_total` to a counter's samples and, in one process, a `_created` sample with its start.
Prompt tokens include those found in the cache, in both. How many devices a server works on, neither page says.
"""

from __future__ import annotations

import re
from decimal import Decimal

from centime.errors import UserError
from centime.ledger.imported import Imported
from centime.ledger.imports.samples import PageSample, model_of, samples_of
from centime.ledger.imports.terms import NamedDevice, Terms

# source -> what is counted -> the names it goes by, newest first: the first on the page is taken
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm": {
        "prompt": ("vllm:prompt_tokens_total",),
        "hit": (
            "vllm:prompt_tokens_cached_total",
            "vllm:prefix_cache_hits_total",
            "vllm:gpu_prefix_cache_hits_total",
        ),
        "output": ("vllm:generation_tokens_total",),
        "requests": ("vllm:request_success_total",),
        "created": ("vllm:prompt_tokens_created",),
    },
    "sglang": {
        "prompt": ("sglang:prompt_tokens_total",),
        "hit": ("sglang:cached_tokens_total",),
        "output": ("sglang:generation_tokens_total",),
        "requests": ("sglang:num_requests_total",),
        "created": ("sglang:prompt_tokens_created",),
    },
}
_PROCESS_START = "process_start_time_seconds"
_WANTED = {name for names in NAMES.values() for alternatives in names.values() for name in alternatives}


def is_prometheus(text: str) -> bool:
    """Whether this is a page of vLLM or SGLang."""
    return re.search(r"^(?:# (?:HELP|TYPE) )?(?:vllm|sglang):", text, re.MULTILINE) is not None


def read_prometheus(text: str, origin: str, moment_ns: int, terms: Terms) -> list[Imported]:
    """One statement a model that the page counts. moment_ns: when the page was written.

    The machine's time runs from the server's start, where the page says it, times `terms.devices`.
    """
    samples = samples_of(text, origin, _WANTED | {_PROCESS_START})
    source = "vllm" if re.search(r"^vllm:", text, re.MULTILINE) else "sglang"
    prompt = NAMES[source]["prompt"][0]
    models = sorted({model_of(sample) for sample in samples if sample.name == prompt})
    if not models:
        raise UserError(
            f"{origin} has no {prompt}: {source} writes it once it has served a request, with metrics turned on."
        )
    start = next((sample.value for sample in samples if sample.name == _PROCESS_START), None)
    return [_statement(source, model, samples, start, origin, moment_ns, terms) for model in models]


def _statement(
    source: str,
    model: str,
    samples: list[PageSample],
    process_start: Decimal | None,
    origin: str,
    moment_ns: int,
    terms: Terms,
) -> Imported:
    def counted(what: str) -> list[PageSample]:
        for name in NAMES[source][what]:
            found = [sample for sample in samples if sample.name == name and model_of(sample) == model]
            if found:
                return found
        return []

    def total(what: str) -> int:
        return int(sum(sample.value for sample in counted(what)))

    prompt, output = total("prompt"), total("output")
    hit = min(prompt, total("hit"))
    starts = [sample.value for sample in counted("created")]
    start = min(starts) if starts else process_start
    start_ns = 0 if start is None else int(start * 10**9)
    device_ns = 0 if start is None else max(0, moment_ns - start_ns) * (terms.devices or 1)
    cost, cost_currency, cost_source = (
        terms.cost(NamedDevice(terms.device or ""), device_ns) if device_ns else (None, "", "")
    )
    list_pico = None
    tariff = None if terms.tariff is None else terms.tariff.in_force(moment_ns)
    if tariff is not None:
        rates = tariff.peak  # counters do not say at which hours
        list_pico = hit * rates.hit + (prompt - hit) * rates.miss + output * rates.output
    identity = origin if start is None else str(start_ns)
    return Imported(
        id=f"{source}:{model}:{identity}",
        source=source,
        origin=origin,
        name=model,
        start_ns=start_ns,
        end_ns=moment_ns,
        device=terms.device or "",
        device_ns=device_ns,
        requests=total("requests"),
        prompt_tokens=prompt,
        hit_tokens=hit,
        output_tokens=output,
        cost_pico=cost,
        cost_currency=cost_currency,
        cost_source=cost_source,
        tariff=tariff.name if tariff else "",
        list_pico=list_pico,
        currency=tariff.currency if tariff else "",
        counts_up=start is None,
    )
