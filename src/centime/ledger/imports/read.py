"""From a file's name or a URL to statements: fetched, its kind told by its content, read whole or not at all."""

from __future__ import annotations

import gzip
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from centime.addresses import shown_address
from centime.errors import UserError
from centime.input_files import read_input
from centime.ledger.imported import Imported
from centime.ledger.imports.focus import is_focus, read_focus
from centime.ledger.imports.prometheus import is_prometheus, read_prometheus
from centime.ledger.imports.slurm import is_sacct, read_sacct
from centime.ledger.imports.terms import Terms

TIMEOUT_S = 10.0


def read_statements(source: str, terms: Terms) -> list[Imported]:
    """The statements of a file or a URL: a Prometheus page of vLLM or SGLang, sacct's output, a FOCUS CSV.

    Raises UserError when it cannot be read or is none of these, naming the line that is wrong.
    """
    text, moment_ns = fetch_page(source) if source.startswith(("http://", "https://")) else _open(source)
    if is_prometheus(text):
        return read_prometheus(text, source, moment_ns, terms)
    if is_sacct(text):
        return read_sacct(text, source, moment_ns, terms)
    if is_focus(text):
        return read_focus(text, source)
    first = text.strip().splitlines()[:1]
    shown = repr(first[0][:60]) if first else "nothing"
    raise UserError(
        f"{source} begins with {shown}, which is neither a Prometheus page of vLLM or SGLang (lines such as "
        "vllm:prompt_tokens_total), nor sacct's output (`sacct --parsable2`, with its header), nor a FOCUS CSV."
    )


def fetch_page(url: str) -> tuple[str, int]:
    """The text of a page and the moment at which it spoke, ns since the epoch. Raises UserError where there is none."""
    shown = shown_address(url)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise UserError(f"{shown} answered {error.code} {error.reason}; give the page that shows metrics.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{shown} cannot be read ({reason}); is the server up, and reachable from here?") from None
    return _text(body, shown), time.time_ns()


def _open(name: str) -> tuple[str, int]:
    """The file and when it was last written: a saved page speaks of that moment."""
    path = Path(name)
    if not name:
        raise UserError("--import is empty; give a file or a URL.")
    body = read_input(path, "a file or a URL (http://...) with what was run")
    return _text(body, name), path.stat().st_mtime_ns


def _text(body: bytes, source: str) -> str:
    if body[:2] == b"\x1f\x8b":  # as clouds write their FOCUS files
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{source} is no whole gzip file ({error}); fetch it again.") from None
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is no text: byte {error.start} is not UTF-8.") from None
