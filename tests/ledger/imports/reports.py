"""What others report, as they write it: pages of vLLM and SGLang, sacct's jobs, a cloud's FOCUS file."""

from __future__ import annotations

import os
from pathlib import Path

from tests.ledger.made import at

START = at("2026-11-01T00:00") // 10**9

# As vLLM 0.10 and later write it (prometheus_client's exposition, one process), cut down to a few families.
VLLM = f"""\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{{generation="0"}} 11022.0
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds {START}.5
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 2.0
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 3.41766e+07
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 5.91508e+07
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} {START}.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 739935.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="deepseek-ai/DeepSeek-V3"}} 950.0
vllm:request_success_total{{engine="0",finished_reason="length",model_name="deepseek-ai/DeepSeek-V3"}} 28.0
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{{engine="0",le="0.3",model_name="deepseek-ai/DeepSeek-V3"}} 0.0
vllm:e2e_request_latency_seconds_sum{{engine="0",model_name="deepseek-ai/DeepSeek-V3"}} 55905.2
"""

# As SGLang writes it: several processes, so neither a start nor a `_created`.
SGLANG = """\
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{engine_type="unified",is_streaming="false",model_name="m"} 1000.0
sglang:prompt_tokens_total{engine_type="unified",is_streaming="true",model_name="m"} 3000.0
sglang:generation_tokens_total{engine_type="unified",is_streaming="true",model_name="m"} 500.0
sglang:cached_tokens_total{cache_source="device",engine_type="unified",model_name="m"} 1500.0
sglang:cached_tokens_total{cache_source="host",engine_type="unified",model_name="m"} 500.0
sglang:num_requests_total{engine_type="unified",model_name="m"} 40.0
sglang:token_usage{engine_type="unified",model_name="m",tp_rank="0"} 0.28
sglang:fwd_occupancy{engine_type="unified",model_name="m"} NaN
"""

SACCT = """\
JobID|JobName|Cluster|Partition|State|Start|End|ElapsedRaw|AllocTRES
101|pretrain|tuna|gpu|COMPLETED|2026-11-01T00:00:00|2026-11-01T02:00:00|7200|billing=96,cpu=96,gres/gpu:h100=8,gres/gpu=8,node=1
101.batch|batch|tuna||COMPLETED|2026-11-01T00:00:00|2026-11-01T02:00:00|7200|cpu=96,gres/gpu:h100=8,gres/gpu=8,node=1
102_3|sweep|tuna|cpu|TIMEOUT|2026-11-01T00:00:00|2026-11-01T01:00:00|3600|billing=4,cpu=4,mem=16G,node=1
103|waiting|tuna|gpu|PENDING|Unknown|Unknown|0|
104|running|tuna|gpu|RUNNING|2026-11-02T00:00:00|Unknown|600|cpu=8,gres/gpu=1
"""

FOCUS_HEADER = (
    "BillingAccountId,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,EffectiveCost,BilledCost,"
    "ServiceName,ServiceCategory,ResourceName,ConsumedQuantity,ConsumedUnit,PricingQuantity,PricingUnit\n"
)

FOCUS = FOCUS_HEADER + (
    "a1,USD,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,24.48,0,EC2,Compute,gpu-node,1,Hours,1,Hours\n"
    "a1,USD,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,0.0230000001,0.02,S3,Storage,bucket,1,GB-Month,1,GB\n"
    "a1,USD,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,0.0230000001,0.02,S3,Storage,bucket,1,GB-Month,1,GB\n"
    "a1,USD,Credit,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,-1.5,-1.5,EC2,Compute,,,,,\n"
)


def saved(path: Path, text: str, seconds: int = START + 3600) -> str:
    """A file last written at a moment."""
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return str(path)
