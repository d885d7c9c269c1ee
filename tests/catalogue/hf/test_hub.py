"""Models by their name on the Hub, against a local server that answers as the Hub does, well and badly."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from centime.catalogue.hf.hub import MOST_BYTES, is_hub_name, kept_config
from centime.catalogue.models import architecture
from centime.errors import UserError

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1536,
    "vocab_size": 32000,
}
GOOD = json.dumps(CONFIG).encode()


class LocalHub:
    """What is asked of the server: (path, Authorization)."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        self.asked: list[tuple[str, str | None]] = []
        self.quiet = threading.Event()  # set when the test is over: an answer that never came may end


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers.get("Authorization")))
            name = self.path.split("/resolve/")[0].strip("/")
            if name == "them/silent":
                made.quiet.wait(60)
            elif name == "them/dripping":
                self.send_response(200)
                self.end_headers()
                while not made.quiet.wait(0.1):
                    try:
                        self.wfile.write(b" ")
                        self.wfile.flush()
                    except OSError:
                        break
            elif name == "them/cut-short":
                self._send(200, GOOD[:40], {"Content-Length": str(len(GOOD))})
            elif name in ANSWERS:
                status, content, headers = ANSWERS[name]
                self._send(status, content, {"Content-Length": str(len(content)), **headers})
            else:
                self._send(401, b"Repository not found", {"X-Error-Code": "RepoNotFound", "Content-Length": "20"})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value.replace("ELSEWHERE", f"http://localhost:{server.server_port}"))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = LocalHub(server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield made
    made.quiet.set()
    server.shutdown()
    server.server_close()


ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "us/model": (200, GOOD, {}),
    "us/old-name": (307, b"", {"Location": "/us/model/resolve/main/config.json"}),
    "us/moved": (302, b"", {"Location": "ELSEWHERE/us/model/resolve/main/config.json"}),
    "them/gated": (401, b"gated", {"X-Error-Code": "GatedRepo"}),
    "them/forbidden": (403, b"", {}),
    "them/weights-only": (404, b"Entry not found", {"X-Error-Code": "EntryNotFound"}),
    "them/gone": (404, b"", {}),
    "them/down": (503, b"<html>busy</html>", {}),
    "them/login-page": (200, b"<html>please log in</html>", {}),
    "them/list": (200, b"[1, 2]", {}),
    "them/empty": (200, b"", {}),
    "them/latin": (200, b'{"name": "\xe9"}', {}),
    "them/endless": (200, b" " * (MOST_BYTES + 1), {}),
    "them/loop": (302, b"", {"Location": "/them/loop/resolve/main/config.json"}),
    "them/file": (302, b"", {"Location": "file:///etc/passwd"}),
    "them/encoder": (200, json.dumps(CONFIG | {"is_encoder_decoder": True}).encode(), {}),
}

REFUSED = {
    "them/nobody": r"There is no model called 'them/nobody' here, and none that http://127.* shows you.*set HF_TOKEN",
    "them/gone": "none that .* shows you",
    "them/gated": "them/gated is gated at .*accept its terms there, and set HF_TOKEN",
    "them/forbidden": "is gated at",
    "them/weights-only": "has no config.json, so its sizes are not known",
    "them/down": r"did not give its config.json \(it answered 503 .*set HF_ENDPOINT to a mirror, or download http",
    "them/silent": r"did not give its config.json \(no answer in time\)",
    "them/dripping": r"did not give its config.json \(no answer in time\)",
    "them/cut-short": r"did not give its config.json \(it was cut short\)",
    "them/login-page": r"cannot be read as JSON .*download http.* by hand and save it as .*configs/them/login-page",
    "them/list": "holds a list; expected a JSON object",
    "them/empty": "is empty",
    "them/latin": "is not in UTF-8",
    "them/endless": "it is larger than 16,777,216 bytes",
    "them/loop": r"did not give its config.json \(.*loop",
    "them/file": r"did not give its config.json \(.*file:///etc/passwd",
}


def test_a_model_is_asked_for_once_and_kept(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = architecture("us/model")
    assert (found.name, found.layers, found.hidden) == ("us/model", 6, 512)
    assert found.source.startswith("config.json of us/model on the Hugging Face Hub, as it was here on 20")
    assert hub.asked == [("/us/model/resolve/main/config.json", "Bearer hf_secret")]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert architecture("us/model") == found
    assert len(hub.asked) == 1
    assert kept_config("us/model").read_bytes() == GOOD


def test_a_new_name_is_followed_and_the_token_goes_nowhere_else(hub: LocalHub) -> None:
    assert architecture("us/old-name").layers == 6
    assert [token for _, token in hub.asked] == ["Bearer hf_secret"] * 2
    hub.asked.clear()
    assert architecture("us/moved").layers == 6
    assert [token for _, token in hub.asked] == ["Bearer hf_secret", None]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_hub_does_not_give_is_a_sentence(hub: LocalHub, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.3")
    with pytest.raises(UserError, match=REFUSED[name]):
        architecture(name)
    assert not kept_config(name).exists()


def test_what_the_catalogue_or_a_folder_has_is_not_asked_for(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert architecture("Qwen/Qwen3-8B").layers == 36
    folder = tmp_path / "us" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 3}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert architecture("us/model").layers == 3
    with pytest.raises(UserError, match="There is no model called 'them/nobody'"):
        architecture("them/nobody", ask_hub=False)
    for name in ("no-owner", "us/../../etc", "/us/nothing", "a/b/c", "them/"):
        assert not is_hub_name(name)
        with pytest.raises(UserError, match="There is no model called"):
            architecture(name)
    assert hub.asked == []


def test_offline_it_says_where_a_file_may_be_put(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE says not to ask.*save it as (.*config.json)\.") as refused:
        architecture("us/model")
    place = Path(str(refused.value).rpartition("save it as ")[2].removesuffix("."))
    place.parent.mkdir(parents=True)
    place.write_bytes(GOOD)
    assert architecture("us/model").layers == 6
    assert hub.asked == []


def test_the_cache_of_huggingface_hub_is_read(hub: LocalHub, tmp_path: Path) -> None:
    folder = tmp_path / "hf" / "hub" / "models--us--cached"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40, encoding="ascii")
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(GOOD)
    assert architecture("us/cached").layers == 6
    assert hub.asked == []


def test_nothing_listens_and_no_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"did not give its config.json \(.*refused.*Did you mean 'DeepSeek-V3'"):
        architecture("deepseek-ai/DeepSeek-V33")
    monkeypatch.setenv("HF_ENDPOINT", "nowhere")
    with pytest.raises(UserError, match=r"HF_ENDPOINT is 'nowhere'; expected a server such as https://huggingface.co"):
        architecture("us/model")


def test_a_home_that_cannot_be_written_is_a_sentence(
    hub: LocalHub, centime_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (centime_home / "configs").write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match=r"is kept, cannot be written .*set CENTIME_HOME"):
        architecture("us/model")


def test_a_model_that_is_no_decoder_is_refused_as_any_other(hub: LocalHub) -> None:
    with pytest.raises(UserError, match=r"config.json sets is_encoder_decoder"):
        architecture("them/encoder")


VERBS = [
    ["model", "show", "us/model"],
    ["plan", "train", "--model", "us/model", "--tokens", "1B", "--gpu", "h100", "--gpus", "8"],
    ["plan", "serve", "--model", "us/model", "--gpu", "h100", "--gpus", "1"],
    ["plan", "compare", "--models", "us/model,deepseek-v2-lite", "--chips", "h100", "--gpus", "8"],
    ["plan", "explain", "model=us/model,gpu=h100,gpus=8,tokens=1B", "model=us/model,gpu=h100,gpus=16,tokens=1B"],
]


def centime(*arguments: str) -> str:
    """What a command prints, having ended well."""
    command = [sys.executable, "-m", "centime", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", VERBS, ids=[" ".join(verb[:2]) for verb in VERBS])
def test_every_verb_takes_it(hub: LocalHub, arguments: list[str]) -> None:
    assert "us/model" in centime(*arguments)
    assert len(hub.asked) == 1


def test_a_card_runs_again_without_the_hub(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = str(tmp_path / "card.json")
    centime(*VERBS[1], "--card", card)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "The same" in centime("plan", "rerun", card)
