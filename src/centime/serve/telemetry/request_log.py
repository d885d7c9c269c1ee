"""A line of JSON for every request that is over: whose it was, what it came to, what it cost. No text of it unless
that was asked for."""

from __future__ import annotations

import datetime
import json
import logging
import queue
import sys
import time
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from pathlib import Path
from typing import Any

from centime.catalogue.tariffs import decimal
from centime.errors import UserError
from centime.files.output import Output
from centime.ledger.energy.use import NONE
from centime.serve.telemetry.exchange import Exchange
from centime.version import version

MOST_WAITING = 10_000  # lines that a slow disk may be behind; further ones are left out, and counted
QUIET = {"/health", "/metrics", "/admin/metrics"}  # asked every few seconds: told only where they fail
STANDARD_OUTPUT = "-"


class RequestLog:
    """Appends to a file, or to standard output ('-'), from a thread of its own, so that no answer waits for a disk.

    A file that is moved away, as logrotate does, is made anew. bodies: the bytes of requests and answers too. Raises
    UserError where the file cannot be appended to, or holds something else.
    """

    def __init__(self, target: str, bodies: bool = False) -> None:
        self.bodies = bodies
        self._waiting: queue.Queue[logging.LogRecord] = queue.Queue(MOST_WAITING)
        self._writer = _writer(target)
        self._handler = _Dropping(self._waiting)
        self._listener = QueueListener(self._waiting, self._writer)
        self._listener.start()

    def over(self, exchange: Exchange) -> None:
        """One line."""
        if exchange.path in QUIET and exchange.status < 400:
            return
        line = json.dumps(dict(_told(exchange, self.bodies)), ensure_ascii=True)
        self._handler.handle(logging.LogRecord("centime.requests", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """What waits is written. Says how many lines were left out, if any were."""
        self._listener.stop()
        self._writer.close()
        if self._handler.dropped:
            print(f"centime: {self._handler.dropped:,} lines of the log could not be kept.", file=sys.stderr)


class _Dropping(QueueHandler):
    """Never waits: a line that finds the queue full is counted."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            super().enqueue(record)
        except queue.Full:
            self.dropped += 1


class _Lines(WatchedFileHandler):
    """What cannot be written is told once, and requests go on."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            print(f"centime: the log {self.baseFilename} cannot be written: {sys.exc_info()[1]}.", file=sys.stderr)


def _writer(target: str) -> logging.Handler:
    if target == STANDARD_OUTPUT:
        return logging.StreamHandler(sys.stdout)
    path = Path(target)
    Output(path, "a log of requests", "name another --log file", ours=is_log).require_writable()
    new = not path.exists()
    first = json.dumps({"at": _instant(time.time_ns()), "request_id": None, "centime": version()})
    try:
        with path.open("a", encoding="utf-8") as file:  # a disk that is full is known before anybody is served
            file.write(f"{first}\n")
        return _Lines(path, encoding="utf-8")
    except OSError as error:
        if new:
            path.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written ({error.strerror}); name another --log file.") from None


def is_log(path: Path) -> bool:
    """Whether a file begins as this log does."""
    with path.open(encoding="utf-8") as file:
        found = json.loads(file.readline(2**20))
    return isinstance(found, dict) and {"at", "request_id"} <= found.keys()


def _told(exchange: Exchange, bodies: bool) -> Iterator[tuple[str, Any]]:
    """What is known of it, name by name; what is not known is left out."""
    yield "at", _instant(exchange.began_wall_ns)
    yield "request_id", exchange.request_id
    yield from (("method", exchange.method), ("path", exchange.path), ("status", exchange.status))
    yield "seconds", round(exchange.total_ns / 1e9, 6)
    tags = exchange.tags
    said = {
        "key": exchange.key, "place": exchange.place, "user": tags.user, "session": tags.session, "team": tags.team,
        "feature": tags.feature, "tags": tags.other, "model": tags.model, "upstream": exchange.upstream,
        "upstream_model": exchange.model if exchange.model != tags.model else "", "error": exchange.error,
    }  # fmt: skip
    yield from ((name, value) for name, value in said.items() if value)
    if exchange.attempts > 1:
        yield "attempts", exchange.attempts
    if exchange.usage is not None:
        yield from _used(exchange)
    if exchange.lowered is not None:
        yield "max_tokens_lowered_to", exchange.lowered
    if bodies:
        yield from (("error_message", exchange.error_message), ("request", _text(exchange.sent)))
        yield "answer", _text(exchange.answered)


def _used(exchange: Exchange) -> Iterator[tuple[str, Any]]:
    usage, charge = exchange.usage, exchange.charge
    assert usage is not None
    yield from (("stream", exchange.stream), ("ended", [one.reason for one in exchange.ends]))
    yield from (("prompt_tokens", usage.prompt_tokens), ("cached_tokens", usage.hit_tokens))
    yield from (("answer_tokens", usage.output_tokens), ("machine_seconds", usage.machine_ns / 1e9))
    if usage.energy.source != NONE:
        yield from usage.energy.told().items()
    if usage.first_token_ns:
        yield "ttft_s", usage.first_token_ns / 1e9
    if charge is not None and charge.price_list:
        yield from (("price", decimal(charge.list_price)), ("currency", charge.currency))
        yield "price_list", charge.price_list
    if charge is not None and charge.machine_cost is not None:
        yield from (("machine_cost", decimal(charge.machine_cost)), ("machine_currency", charge.machine_currency))


def _instant(wall_ns: int) -> str:
    at = datetime.datetime.fromtimestamp(wall_ns / 1e9, datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(body: bytearray) -> str:
    return body.decode("utf-8", "replace")
