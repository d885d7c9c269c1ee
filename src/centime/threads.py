"""Work for a thread that ends with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def in_passing_thread(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises, done in a thread of its own, which Ctrl-C does not wait for.

    A signal is answered only where the main thread runs Python: here, while `work` may be one long call of a library.

    Every thread that has ever run a parallel operation of torch's keeps helpers of its own, and once these outnumber
    the cores GNU's OpenMP lets helpers sleep between products: a server whose main thread had read the weights took
    162 ms for a step that takes 114 (docs/log.md).
    """
    done: Future[T] = Future()

    def working() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    thread = Thread(target=working, name=name, daemon=True)
    thread.start()
    result = done.result()
    thread.join()
    return result
