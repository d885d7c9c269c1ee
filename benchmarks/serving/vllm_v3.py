"""vLLM's engine on the CPU, stepped by hand in this process, without compiling and without its prefix cache."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path


class Vllm:
    """In bf16, as its CPU backend wants it; 16 requests at once and steps of 512 tokens, as the other engines have."""

    def __init__(self, folder: Path) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB
        from vllm import LLM, SamplingParams

        self._params = SamplingParams
        self._numbers = itertools.count()
        self.engine = LLM(
            str(folder),
            dtype="bfloat16",
            enforce_eager=True,
            enable_prefix_caching=False,
            max_model_len=4096,
            max_num_seqs=16,
            max_num_batched_tokens=4096,
            disable_log_stats=True,
        ).llm_engine

    def answer(self, prompts: list[list[int]], new: int) -> tuple[float, float]:
        params = self._params(temperature=0, max_tokens=new, ignore_eos=True, detokenize=False)
        began = time.perf_counter()
        waiting = set()
        for prompt in prompts:
            name = str(next(self._numbers))
            waiting.add(name)
            self.engine.add_request(name, {"prompt_token_ids": prompt}, params)
        first = None
        while self.engine.has_unfinished_requests():
            waiting -= {out.request_id for out in self.engine.step() if out.outputs[0].token_ids}
            if first is None and not waiting:
                first = time.perf_counter()
        assert first is not None
        return first - began, time.perf_counter() - first
