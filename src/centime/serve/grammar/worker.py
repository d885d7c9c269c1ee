"""Compiling grammars for a vocabulary, and the process that does so for a server.

The process reads requests from a pipe and answers there. It ends when the pipe's other end is closed, which is when the
server has ended, however it ended.
"""

from __future__ import annotations

import os
import pickle
import queue
import random
import re
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from centime.errors import UserError
from centime.installation import needs
from centime.serve.grammar.gate import GrammarSpec, held, reason

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from xgrammar import CompiledGrammar, GrammarCompiler, TokenizerInfo

MAX_COMPILED = 64 * 2**20  # bytes of a compiled grammar; the schemas of the common tools take seven million
AGAIN_SECONDS = 0.5  # of processor time: what compiles faster is compiled again by the server, the rest handed over
MEMORY = 4 * 2**30  # bytes that compiling may take beyond what the process has taken by then
TRIED, TRIED_SECONDS = 32, 0.5  # tokens, and what they may take; the usual schemas take a hundredth of it


@dataclass(frozen=True)
class Vocabulary:
    """What grammars are compiled for: the bytes of every token, none where no grammar may have it.

    width: of the model's logits, at least as many. end: the token that ends an answer.
    """

    texts: list[bytes]
    width: int
    end: int

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[list[bytes], int, int]]:
        """Pickled without what xgrammar makes of it, which cannot be."""
        return Vocabulary, (self.texts, self.width, self.end)

    @cached_property
    def info(self) -> TokenizerInfo:
        """xgrammar's form of it. The import brings transformers along and takes seconds."""
        try:
            import xgrammar
        except ImportError:
            raise needs("serve", "a grammar", "xgrammar") from None
        return xgrammar.TokenizerInfo(self.texts, vocab_size=self.width, stop_token_ids=[self.end])

    @cached_property
    def _compiler(self) -> GrammarCompiler:
        info = self.info
        import xgrammar

        return xgrammar.GrammarCompiler(info, max_threads=2, cache_enabled=False)

    def warm(self) -> None:
        """Imports what compiling needs; raises UserError without xgrammar."""
        self._compiler  # noqa: B018

    def compile(self, spec: GrammarSpec) -> CompiledGrammar:
        """Raises UserError when it cannot be held, or no token begins a text of it."""
        compiler = self._compiler
        try:
            text = held(spec)
            compiled = (
                compiler.compile_structural_tag(text) if spec.kind == "structure" else compiler.compile_grammar(text)
            )
            _try(compiled)
        except (RuntimeError, ValueError, RecursionError, MemoryError) as error:
            raise UserError(f"{spec.name} cannot be used: {_cause(error)}.") from None
        except UserError as error:
            if "cannot be used" in str(error):
                raise
            raise UserError(f"{spec.name} cannot be used: {error}.") from None
        except Exception as error:  # a shape of a schema that nobody thought of: its sender's, not the server's
            raise UserError(f"{spec.name} cannot be used: it cannot be read ({type(error).__name__}).") from error
        return compiled


def _cause(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError) or "bad_alloc" in str(error):
        return "compiling it needs too much memory"
    last = (str(error).strip().splitlines() or [""])[-1]
    return reason(ValueError(re.sub(r"^\[[\d:]+\] \S+: ", "", last)))  # without time and source line


def _try(compiled: CompiledGrammar) -> None:
    """Begins an answer with tokens chosen at random. Raises UserError where none may come, or matching is slow."""
    import numpy
    import torch
    import xgrammar

    draw = random.Random(0)
    row = torch.zeros(1, (compiled.tokenizer_info.vocab_size + 31) // 32, dtype=torch.int32)
    matcher, begun = xgrammar.GrammarMatcher(compiled), time.thread_time()
    for tokens in range(1, TRIED + 1):
        matcher.fill_next_token_bitmask(row)
        bits = numpy.unpackbits(row.numpy().view(numpy.uint8), bitorder="little")
        allowed = bits[: compiled.tokenizer_info.vocab_size].nonzero()[0]  # what fills up the last word means nothing
        if not len(allowed):
            raise UserError("it leads to where no token of this model can go on")
        matcher.accept_token(int(draw.choice(allowed)))
        if matcher.is_terminated():
            break
        if time.thread_time() - begun > TRIED_SECONDS:
            raise UserError(
                f"matching it is too slow: the first {tokens} tokens took more than {TRIED_SECONDS:g} seconds"
            )


def serve(pipe: Connection) -> None:
    """The process. First the vocabulary comes, then specs.

    Answers "+" when ready, or "!" and why it is not; then to each spec "-" and a sentence, or "+", with the compiled
    grammar as JSON where it took long. What the compiler prints goes nowhere: it may be a client's text.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the server
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.nice(5)
    waiting: queue.SimpleQueue[GrammarSpec] = queue.SimpleQueue()
    with suppress(EOFError, OSError):
        vocabulary: Vocabulary = pickle.loads(pipe.recv_bytes())

        def work() -> None:
            try:
                vocabulary.warm()
            except UserError as error:
                pipe.send_bytes(b"!" + str(error).encode())
                return
            _limit_memory()
            pipe.send_bytes(b"+")
            while True:
                pipe.send_bytes(_answer(vocabulary, waiting.get()))

        threading.Thread(target=work, daemon=True).start()
        while True:  # in a thread of its own, so that the end is seen while a grammar compiles
            waiting.put(pickle.loads(pipe.recv_bytes()))
    os._exit(0)


def _answer(vocabulary: Vocabulary, spec: GrammarSpec) -> bytes:
    begun = time.process_time()
    try:
        compiled = vocabulary.compile(spec)
        if compiled.memory_size_bytes > MAX_COMPILED:
            raise UserError(f"{spec.name} cannot be used: compiled it is larger than {MAX_COMPILED:,} bytes.")
        # Reading a grammar costs more than compiling one that compiles in no time.
        data = str(compiled.serialize_json()).encode() if time.process_time() - begun > AGAIN_SECONDS else b""
    except UserError as error:
        return b"-" + str(error).encode(errors="replace")
    except (MemoryError, RuntimeError) as error:
        return b"-" + f"{spec.name} cannot be used: {_cause(error)}.".encode()
    return b"+" + data


def _limit_memory() -> None:
    import psutil

    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = psutil.Process().memory_info().vms + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
