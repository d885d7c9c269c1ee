"""llama.cpp through llama-cpp-python's low-level calls, on a GGUF of the same folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np


class LlamaCpp:
    """Prompts in batches of 512 tokens, then one token a sequence a call, as llama-batched-bench.

    A context for sixteen sequences of up to 1,024 tokens, and one for a single one of up to 8,192.
    """

    def __init__(self, folder: Path, threads: int, form: str) -> None:
        import llama_cpp

        from centime.model.checkpoint import load
        from centime.model.gguf.export import export_gguf

        file = folder / f"model-{form}.gguf"
        if not file.exists():
            export_gguf(load(folder), folder, file, form)
        self.api = llama_cpp
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
        self.together, self.alone = self._context(16 * 1024, 16, threads), self._context(8 * 1024, 1, threads)
        self.context = self.alone
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def answer(self, prompts: list[list[int]], new: int) -> tuple[float, float]:
        api = self.api
        self.context = self.alone if len(prompts) == 1 else self.together
        api.llama_memory_clear(api.llama_get_memory(self.context), True)
        began = time.perf_counter()
        tokens = [self._prompt(number, prompt) for number, prompt in enumerate(prompts)]
        first = time.perf_counter()
        for step in range(new - 1):
            rows = [(token, len(prompts[n]) + step, n, True) for n, token in enumerate(tokens)]
            self._decode(rows)
            tokens = [self._best(n) for n in range(len(tokens))]
        return first - began, time.perf_counter() - first

    def _context(self, tokens: int, sequences: int, threads: int) -> Any:
        params = self.api.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_seq_max = tokens, 512, sequences
        params.n_threads = params.n_threads_batch = threads
        return self.api.llama_init_from_model(self.model, params)

    def _prompt(self, sequence: int, prompt: list[int]) -> int:
        for start in range(0, len(prompt), 512):
            piece = prompt[start : start + 512]
            self._decode([(t, start + i, sequence, start + i == len(prompt) - 1) for i, t in enumerate(piece)])
        return self._best(len(piece) - 1)

    def _decode(self, rows: list[tuple[int, int, int, bool]]) -> None:
        batch: Any = self.api.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, position, 1, sequence
            batch.logits[i] = wanted
        failed = self.api.llama_decode(self.context, batch)
        self.api.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode: {failed}")

    def _best(self, row: int) -> int:
        logits = np.ctypeslib.as_array(self.api.llama_get_logits_ith(self.context, row), shape=(self.vocabulary,))
        return int(logits.argmax())
