"""Text completions asked for over HTTP: whole, and as the chunks of a stream."""

from __future__ import annotations

import json
from typing import Any

import httpx

from centime.serve.api.service import Service

SENTENCES = ["the cat sat on the mat", "the dog ate the hat", "def f(x): return x"]


def ask(url: str, **more: Any) -> Any:
    answer = httpx.post(f"{url}/v1/completions", json={"model": "small", "temperature": 0, **more}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def chunks(url: str, **more: Any) -> list[Any]:
    body = {"model": "small", "temperature": 0, "stream": True, **more}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def joined(streamed: list[Any]) -> dict[int, Any]:
    """The choices that a stream's chunks amount to."""
    choices: dict[int, Any] = {}
    for chunk in streamed:
        for part in chunk["choices"]:
            one = choices.setdefault(part["index"], {"text": "", "logprobs": None, "finish_reason": None})
            assert one["finish_reason"] is None, "a chunk after the end"
            one["text"] += part["text"]
            one["finish_reason"] = part["finish_reason"]
            for name, values in (part["logprobs"] or {}).items():
                one["logprobs"] = one["logprobs"] or {}
                one["logprobs"].setdefault(name, []).extend(values)
    return choices


def ids_of(serving: Service, text: str) -> list[int]:
    assert serving.tokenizer.bos_id is not None
    ids = serving.tokenizer.encode(text)
    return ids if ids[:1] == [serving.tokenizer.bos_id] else [serving.tokenizer.bos_id, *ids]
