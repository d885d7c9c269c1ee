"""Batches of texts as tokens, made here or by other processes, in the order in which they were read."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from centime.children import deaf_to_interrupts
from centime.data.shards.documents import Encoded, Fim, tokenise
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.errors import UserError
from centime.threads import in_passing_thread

LOOK_SECONDS = 1.0  # between two looks whether the workers live


@dataclass
class TextBatch:
    """Texts for one worker, and the stored bytes they came from."""

    texts: list[str] = field(default_factory=list)
    characters: int = 0
    source_bytes: int = 0


def tokenised(
    batches: Iterator[TextBatch],
    tokenizer: Tokenizer,
    holdout: float,
    fim: Fim | None,
    workers: int,
    stack: contextlib.ExitStack,
) -> Iterator[tuple[tuple[Encoded, Encoded], int]]:
    """((train, held out), source bytes so far) of each batch, in order, with a few batches in flight per worker."""
    if workers == 1:
        for batch in batches:
            tokenising = partial(tokenise, tokenizer, batch.texts, holdout, fim)
            yield in_passing_thread(tokenising, "centime-tokens"), batch.source_bytes  # signals are answered here
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(str(tokenizer.folder), holdout, fim),
    )
    stack.push(partial(_shut, pool))
    flying: deque[tuple[Future[tuple[Encoded, Encoded]], int]] = deque()
    try:
        for batch in batches:
            with deaf_to_interrupts():  # a pool starts its workers as work comes
                flying.append((pool.submit(_work, batch.texts), batch.source_bytes))
            if len(flying) > 2 * workers:
                future, source_bytes = flying.popleft()
                yield _result(pool, future), source_bytes
        while flying:
            future, source_bytes = flying.popleft()
            yield _result(pool, future), source_bytes
    except BrokenProcessPool as error:
        raise UserError(
            "A tokenising process was killed from outside, most often for want of memory; nothing was kept. "
            f"Use fewer --workers than {workers}, or free some memory."
        ) from error


def _result(pool: ProcessPoolExecutor, future: Future[tuple[Encoded, Encoded]]) -> tuple[Encoded, Encoded]:
    """What a worker made. Raises BrokenProcessPool when one was killed, in the middle of its answer too.

    The pool notices a killed worker, but not while it reads what that one was writing: it would wait for the rest for
    ever. Nobody is left to write it once all workers are gone and our own end is closed, which the pool then reads.
    """
    while True:
        try:
            return future.result(timeout=LOOK_SECONDS)
        except TimeoutError:
            if any(worker.exitcode is not None for worker in (pool._processes or {}).values()):
                _kill(pool)


def _kill(pool: ProcessPoolExecutor) -> None:
    for worker in list((pool._processes or {}).values()):
        worker.kill()
    pool._result_queue._writer.close()  # type: ignore[attr-defined]


def _shut(
    pool: ProcessPoolExecutor,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """Ends the workers: at once where all failed or was interrupted, for one may be deep in a huge document."""
    if kind is not None:
        _kill(pool)
    pool.shutdown(wait=True, cancel_futures=True)


_worker: dict[str, Any] = {}


def _start_worker(folder: str, holdout: float, fim: Fim | None) -> None:
    """Run once in each worker: one thread, gone when the parent is."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    _worker.update(tokenizer=load_tokenizer(folder), holdout=holdout, fim=fim)


def _work(texts: list[str]) -> tuple[Encoded, Encoded]:
    return tokenise(_worker["tokenizer"], texts, _worker["holdout"], _worker["fim"])
