"""Metrics pages of four engines that did the same work, in the names of their sources, and a server that shows them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.ledger.made import at

from centime.ledger.engines.dialects import EngineReading, read_engine

START = at("2026-11-01T10:00")


@dataclass(frozen=True)
class Did:
    """Since an engine's start."""

    computed: int = 0
    cached: int = 0
    decoded: int = 0
    requests: int = 0
    running: int = 0
    held: int = 0  # tokens in the cache
    spent: float = 0.0
    busy: float = 0.0
    started: int = 1


def vllm(did: Did, model: str = "m") -> str:
    """As vLLM 0.33's v1/metrics/loggers.py names them."""
    of = f'{{engine="0",model_name="{model}"}}'
    return f"""\
# TYPE vllm:prompt_tokens_total counter
process_start_time_seconds {did.started}
vllm:cache_config_info{{block_size="16",engine="0",num_gpu_blocks="1000"}} 1.0
vllm:kv_cache_usage_perc{of} {did.held / 16000}
vllm:num_requests_running{of} {did.running}
vllm:prompt_tokens_total{of} {did.computed + did.cached}
vllm:prompt_tokens_cached_total{of} {did.cached}
vllm:generation_tokens_total{of} {did.decoded}
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="{model}"}} {did.requests}
vllm:request_inference_time_seconds_sum{of} {did.spent}
"""


def sglang(did: Did) -> str:
    """As SGLang's srt/observability/metrics_collector.py names them; two ranks that work at once."""
    of = '{engine_type="unified",model_name="m"}'
    busy = "".join(
        f'sglang:gpu_execution_seconds_total{{category="{kind}",model_name="m",tp_rank="{rank}"}} {did.busy / 2}\n'
        for kind in ("forward_extend", "forward_decode")
        for rank in (0, 1)
    )
    return f"""\
sglang:prompt_tokens_total{of} {did.computed + did.cached}
sglang:cached_tokens_total{{cache_source="device",model_name="m"}} {did.cached}
sglang:generation_tokens_total{of} {did.decoded}
sglang:num_requests_total{of} {did.requests}
sglang:num_running_reqs{of} {did.running}
sglang:num_used_tokens{of} {did.held}
{busy}"""


def llamacpp(did: Did) -> str:
    """As llama-server's `--metrics` names them: no model, no start."""
    return f"""\
llamacpp:prompt_tokens_total {did.computed}
llamacpp:prompt_seconds_total {did.spent / 2}
llamacpp:tokens_predicted_total {did.decoded}
llamacpp:tokens_predicted_seconds_total {did.spent / 2}
llamacpp:requests_processing {did.running}
"""


def reading(page: str, seconds: float) -> EngineReading:
    """What a page says, so many seconds after START."""
    return read_engine(page, "http://gpu1:8000/metrics", START + round(seconds * 10**9))


@contextmanager
def shown(page: Callable[[], str | None]) -> Iterator[str]:
    """The address of a real server that shows a page, made anew at each request; None: it answers 503."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = page()
            self.send_response(503 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
