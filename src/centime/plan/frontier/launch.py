"""The commands that start a layout in vLLM, SGLang and TensorRT-LLM.

Their arguments and the values that they choose from were read in the engines' own parsers: vLLM 0.33.0
(vllm/engine/arg_utils.py, vllm/config/parallel.py), SGLang 0.5.23 (sglang/srt/arg_groups/fields, where --attn-dp-size
replaces --dp-size with --enable-dp-attention), and TensorRT-LLM 00209af1 (tensorrt_llm/commands/serve.py, with
attention data parallelism in the file that --extra_llm_api_options names, as in release 1.0; newer ones call it
--config too; several servers are one MPI world, started through trtllm-llmapi-launch). The first two were the newest of
the package index on 2026-12-01, which had 1.2.1 of the third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from centime.catalogue.chips import Chip
from centime.plan.serving.choice import Lengths
from centime.plan.serving.engine import CHUNK
from centime.plan.serving.units import USABLE_MEMORY, Unit

BOX, TRAY = 8, 4  # chips of a server, and of one of a rack whose switch joins all (GB200 and GB300 NVL72)
LONGER = 4  # the longest request over the mean one that a server is started for
ROUND = 1024  # tokens to which that is rounded up

Role = Literal["both", "prefill", "decode"]
# Whose chips an engine runs on, as far as its own parser says how; others have plug-ins, whose parsers were not read.
RUNS_ON = {"vllm": ("nvidia", "amd"), "sglang": ("nvidia", "amd", "huawei"), "trt": ("nvidia",)}
# What carries tokens to experts of other servers: vLLM's between prompts and answers, SGLang's for both.
VLLM_A2A = {"nvidia": "deepep", "amd": "mori"}
SGLANG_A2A = {"nvidia": "deepep", "amd": "mori", "huawei": "deepep"}
KV_TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'


@dataclass(frozen=True)
class Launched:
    """A unit to start: its layout and chips, what it does, sequences in flight in all of it, the longest request.

    experts: that a layer of the model routes to, 0 without.
    """

    model: str
    unit: Unit
    chip: Chip
    role: Role
    batch: float
    longest: int
    experts: int = 0

    @property
    def vendor(self) -> str:
        """Whose chips, in lower case."""
        return self.chip.vendor.lower()

    @property
    def box(self) -> int:
        """Chips of a server."""
        return TRAY if self.chip.scaleup_tech.endswith("rack") else BOX

    @property
    def servers(self) -> int:
        """How many."""
        return math.ceil(self.unit.chips / self.box)

    @property
    def redundant(self) -> int:
        """Copies of experts beside them: the unit's, and as many more as it takes for every rank to hold as many."""
        if not self.expert_parallel:
            return 0
        return math.ceil((self.experts + self.unit.redundant) / self.unit.ep) * self.unit.ep - self.experts

    @property
    def per_group(self) -> int:
        """Sequences of an attention group, rounded up."""
        return max(1, math.ceil(self.batch / self.unit.dp))

    @property
    def expert_parallel(self) -> bool:
        """Whether experts are spread over all chips rather than split."""
        return self.unit.ep > 1 and self.unit.moe_tp == 1


def longest(lengths: Lengths, fits: float | None) -> int:
    """Tokens of the longest request that a server is started for: four mean ones, or what memory holds."""
    wanted = math.ceil(LONGER * (lengths.isl + lengths.osl) / ROUND) * ROUND
    return wanted if fits is None else max(1, min(wanted, int(fits)))


def launch_lines(one: Launched) -> dict[str, str]:
    """Engine -> command, of those that run on such chips; '$RANK' and '$HOST' where there are several servers."""
    lines = {"vllm": _vllm, "sglang": _sglang, "trt": _trt}
    return {engine: line(one) for engine, line in lines.items() if one.vendor in RUNS_ON[engine]}


def _vllm(one: Launched) -> str:
    unit = one.unit
    words = ["vllm serve", one.model, f"--tensor-parallel-size {unit.tp}"]
    words += [f"--pipeline-parallel-size {unit.pp}"] if unit.pp > 1 else []
    words += [f"--data-parallel-size {unit.dp}"] if unit.dp > 1 else []
    words += ["--enable-expert-parallel"] if one.expert_parallel else []
    if one.servers > 1 and unit.dp > 1:
        local = max(1, one.box // unit.tp)
        words += [f"--data-parallel-size-local {local}", f"--data-parallel-start-rank $(({local} * RANK))"]
        words += ["--data-parallel-address $HOST"]
        kind = "high_throughput" if one.role == "prefill" else "low_latency"
        words += [f"--all2all-backend {VLLM_A2A[one.vendor]}_{kind}"]
    elif one.servers > 1:
        words += [f"--nnodes {one.servers}", "--node-rank $RANK", "--master-addr $HOST"]
    words += ["--enable-dbo"] if unit.overlapped else []
    if one.redundant:
        words += ["--enable-eplb", f"--eplb-config '{{\"num_redundant_experts\":{one.redundant}}}'"]
    words += [f"--max-num-seqs {one.per_group}", f"--max-num-batched-tokens {CHUNK}"]
    words += [f"--max-model-len {one.longest}", f"--gpu-memory-utilization {USABLE_MEMORY:g}"]
    words += [f"--kv-transfer-config '{KV_TRANSFER}'"] if one.role != "both" else []
    return " ".join(words)


def _sglang(one: Launched) -> str:
    unit = one.unit
    words = ["python -m sglang.launch_server", f"--model-path {one.model}", f"--tp-size {unit.tp * unit.dp}"]
    words += [f"--pp-size {unit.pp}"] if unit.pp > 1 else []
    words += [f"--attn-dp-size {unit.dp}"] if unit.dp > 1 else []
    words += [f"--ep-size {unit.ep}"] if unit.ep > 1 else []
    words += [f"--moe-a2a-backend {SGLANG_A2A[one.vendor]}"] if one.expert_parallel and unit.dp > 1 else []
    words += ["--enable-two-batch-overlap"] if unit.overlapped else []
    words += [f"--ep-num-redundant-experts {one.redundant}"] if one.redundant else []
    if one.servers > 1:
        words += [f"--nnodes {one.servers}", "--node-rank $RANK", "--dist-init-addr $HOST:5000"]
    words += [f"--max-running-requests {one.per_group * unit.dp}", f"--chunked-prefill-size {CHUNK}"]
    words += [f"--context-length {one.longest}", f"--mem-fraction-static {USABLE_MEMORY:g}"]
    if one.role != "both":
        words += [f"--disaggregation-mode {one.role}"]
        words += ["--disaggregation-transfer-backend ascend"] if one.vendor == "huawei" else []
    return " ".join(words)


def _trt(one: Launched) -> str:
    unit = one.unit
    settings = ["enable_attention_dp: true"] if unit.dp > 1 else []
    settings += ["cache_transceiver_config: {backend: DEFAULT}"] if one.role != "both" else []
    settings += ["disable_overlap_scheduler: true"] if one.role == "prefill" else []
    world = f"mpirun -n {unit.chips} --hostfile $HOSTS trtllm-llmapi-launch " if one.servers > 1 else ""
    words = [f"{world}trtllm-serve", one.model, f"--tp_size {unit.tp * unit.dp}"]
    words += [f"--pp_size {unit.pp}"] if unit.pp > 1 else []
    words += [f"--ep_size {unit.ep}"] if unit.ep > 1 else []
    words += [f"--gpus_per_node {one.box}"] if one.servers > 1 else []
    words += [f"--max_batch_size {one.per_group}", f"--max_num_tokens {CHUNK}", f"--max_seq_len {one.longest}"]
    words += [f"--kv_cache_free_gpu_memory_fraction {USABLE_MEMORY:g}"]
    if not settings:
        return " ".join(words)
    lines = r"\n".join(settings)
    return f"printf '{lines}\\n' > unit.yaml && {' '.join([*words, '--extra_llm_api_options unit.yaml'])}"
