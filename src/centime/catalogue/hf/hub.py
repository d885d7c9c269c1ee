"""The config.json of a model that is named as on the Hugging Face Hub: that one small file, and none of the weights.

Asked of the Hub once and kept in $CENTIME_HOME/configs/OWNER/NAME, where a file put by hand is read as well; before
that, what huggingface_hub's own cache holds is taken. Honoured as by huggingface_hub: HF_ENDPOINT, HF_TOKEN (or the
token that `hf auth login` left), HF_HUB_OFFLINE, HF_HOME, HF_HUB_CACHE and HF_HUB_DOWNLOAD_TIMEOUT. The standard
library's client does it, so that a plan needs no more than centime alone.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from centime.catalogue.home import centime_home
from centime.catalogue.web import read_answer
from centime.errors import UserError
from centime.files.durable import whole_file
from centime.json_files import kind, parse_json

if TYPE_CHECKING:
    from urllib.request import Request

ENDPOINT = "https://huggingface.co"
MOST_BYTES = 16 * 2**20  # of a config.json: the largest published, with a list of every layer's format, has 2 MB
_SECONDS = 10.0  # between two signs of the Hub: huggingface_hub's own default
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_YES = {"1", "on", "yes", "true"}


def is_hub_name(name: str) -> bool:
    """Whether `name` is an owner and a model, as the Hub writes them: 'Qwen/Qwen3-8B'."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def kept_config(name: str) -> Path:
    """Where the config.json of `name` is kept, and where one may be put by hand."""
    return centime_home() / "configs" / name / "config.json"


def hub_config(name: str, hint: str = "") -> Path:
    """The file with the config.json of `name`, asked of the Hub where it is not here yet.

    hint: goes into the sentence of a model that the Hub does not show (' Did you mean ...?'). Raises UserError where
    the Hub has no such model or file, keeps it closed, cannot be reached or is not to be asked, and on what is no JSON.
    """
    kept = kept_config(name)
    for here in (kept, *_cached(name)):
        if here.is_file():
            return here
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    url = f"{endpoint}/{name}/resolve/main/config.json"
    by_hand = f"download {url} by hand and save it as {kept}"
    if any(os.environ.get(switch, "").lower() in _YES for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise UserError(
            f"There is no model called {name!r} here.{hint} The Hub may have it, and HF_HUB_OFFLINE says not to ask: "
            f"unset that, or {by_hand}."
        )
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise UserError(f"HF_ENDPOINT is {endpoint!r}; expected a server such as {ENDPOINT}.")
    content = _asked(name, url, hint, by_hand)
    value = parse_json(content, url, by_hand, infinite=True)
    if not isinstance(value, dict):
        raise UserError(f"{url} holds {kind(value)}; expected a JSON object ({{...}}): {by_hand}.")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        why = error.strerror or error
        raise UserError(
            f"{kept}, where the config.json of {name} is kept, cannot be written ({why}); set CENTIME_HOME to a folder "
            "that can."
        ) from None
    return kept


def _cached(name: str) -> list[Path]:
    """Where huggingface_hub keeps the file of the branch main, if it does."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.path.expanduser(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")))
    folder = cache / f"models--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return []
    return [folder / "snapshots" / commit / "config.json"] if re.fullmatch(r"[0-9a-f]{40}", commit) else []


def _token() -> str:
    """What opens gated and private models, or nothing."""
    given = os.environ.get("HF_TOKEN", "").strip()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    if not given:
        with contextlib.suppress(OSError, ValueError):
            path = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
            given = Path(os.path.expanduser(path)).read_text(encoding="ascii").strip()
    return given if given.isprintable() and given.isascii() else ""


def _asked(name: str, url: str, hint: str, by_hand: str) -> bytes:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    server = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    try:
        content = _content(url)
    except HTTPError as error:
        said = error.headers.get("X-Error-Code", "") if error.headers else ""
        error.close()
        if said == "GatedRepo" or error.code == 403:
            raise UserError(
                f"{name} is gated at {server}: accept its terms there, and set HF_TOKEN to a token of yours; or "
                f"{by_hand}."
            ) from None
        if said == "EntryNotFound":
            raise UserError(
                f"{name} at {server} has no config.json, so its sizes are not known (a GGUF file alone, or an adapter)"
                "; name the model that it was made from."
            ) from None
        if error.code in (401, 404):
            raise UserError(
                f"There is no model called {name!r} here, and none that {server} shows you.{hint} Check the spelling; "
                "for a private model set HF_TOKEN."
            ) from None
        reason = f"it answered {error.code} {error.reason}".strip()
    except (URLError, HTTPException, OSError, ValueError) as error:
        inner = getattr(error, "reason", None) or error
        reason = "no answer in time" if isinstance(inner, TimeoutError) else str(inner).strip() or type(inner).__name__
    else:
        return content
    raise UserError(
        f"There is no model called {name!r} here, and {server} did not give its config.json ({reason.rstrip('.')})."
        f"{hint} Check the network, set HF_ENDPOINT to a mirror, or {by_hand}."
    )


def _content(url: str) -> bytes:
    """What the address holds. Raises OSError (of which urllib's errors are), HTTPException or ValueError."""
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class SameServer(HTTPRedirectHandler):
        """Follows a model to its new name; the token goes to no other server."""

        def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if urlsplit(newurl).scheme not in ("http", "https"):
                raise ValueError(f"it sends one on to {newurl}")
            made = super().redirect_request(req, fp, code, msg, headers, newurl)
            if made is not None and urlsplit(newurl)[:2] == urlsplit(url)[:2] and token:
                made.add_unredirected_header("Authorization", f"Bearer {token}")
            return made

    token, seconds = _token(), _patience()
    request = Request(url, headers={"User-Agent": "centime", "Accept-Encoding": "identity"})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with build_opener(SameServer).open(request, timeout=seconds) as answer:
        return read_answer(answer, MOST_BYTES, 3 * seconds)


def _patience() -> float:
    """Seconds to wait for the next sign of the Hub."""
    try:
        given = float(os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT") or _SECONDS)
    except ValueError:
        return _SECONDS
    return given if 0 < given <= 3600 else _SECONDS
