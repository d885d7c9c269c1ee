"""A local HTTP server that speaks the part of the Hugging Face Hub's API that reading a dataset takes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Datasets by id, each {path: bytes}; `requests` is what the client asked for."""

    datasets: dict[str, dict[str, bytes]]
    endpoint: str = ""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header)."""
    failures: int = 0
    """The next so many downloads end in a 503 answer, as a busy server's do."""
    refuses: bool = False
    """Every download ends in a 403 answer, though the listing was given."""
    listing_status: int = 200
    """Any other: what every question for a dataset is answered with, in no words of the Hub's."""


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(body)

        def do_GET(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            split = urlsplit(self.path)
            path = unquote(split.path)
            hub.requests.append((self.command, path, self.headers.get("Range")))
            if match := re.fullmatch(
                r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?", path
            ):
                self._api(
                    match[1], match[2] or "revision", match[3] or "main", match[4] or "", body, parse_qs(split.query)
                )
            elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._download(hub.datasets.get(match[1], {}).get(match[3]))
            else:
                self._json(404, {"error": "not found"})

        def _api(
            self, name: str, what: str, revision: str, under: str, body: bytes, query: dict[str, list[str]]
        ) -> None:
            files = hub.datasets.get(name)
            if hub.listing_status != 200:
                self._json(hub.listing_status, {"error": "no"})
            elif files is None:
                self._json(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            elif name.startswith("gated/"):
                self._json(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
            elif revision not in ("main", COMMIT):
                self._json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            elif what == "revision":
                siblings = [{"rfilename": path} for path in files]
                self._json(200, {"id": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings})
            else:
                entries = self._entries(files)
                if what == "paths-info":
                    asked = parse_qs(body.decode()).get("paths") or json.loads(body or b"{}").get("paths", [])
                    entries = [entry for entry in entries if entry["path"] in asked]
                else:
                    entries = [entry for entry in entries if entry["path"].startswith(under + "/" if under else "")]
                    if query.get("recursive", ["false"])[0].lower() != "true":
                        depth = under.count("/") + 1 if under else 0
                        entries = [entry for entry in entries if entry["path"].count("/") == depth]
                self._json(200, entries)

        def _entries(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
            folders = {path[:at] for path in files for at, c in enumerate(path) if c == "/"}
            found = [{"type": "directory", "path": folder, "oid": "d" * 40} for folder in sorted(folders)]
            return found + [
                {"type": "file", "path": path, "size": len(raw), "oid": "f" * 40} for path, raw in files.items()
            ]

        def _download(self, raw: bytes | None) -> None:
            if raw is None:
                self._json(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
                return
            if hub.refuses or hub.failures > 0:
                hub.failures -= 1
                self._json(403 if hub.refuses else 503, {"error": "not now"})
                return
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            headers = {"ETag": '"abc"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or len(raw) - 1), len(raw) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(raw)}"
                self._send(206, raw[first : last + 1], headers)
            else:
                self._send(200, raw, headers)

        def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

        def _send(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
