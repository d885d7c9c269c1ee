"""vLLM's log of its requests, as text: --enable-log-requests for the prompts, --enable-log-outputs for the answers.

A line says when ("INFO 11-30 08:00:00 [logger.py:40]", no year), which request, and lists its token ids. A prompt and
its answer belong together by the request's name; its coming is the prompt's line.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

MOMENT = r"(?:INFO|DEBUG)\s+(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.\d+)? .*?"
PROMPT = re.compile(MOMENT + r"(?:Received request|Request) (\S+?):? .*?prompt_token_ids: \[([^\]]*)\]")
ANSWER = re.compile(r"Generated response (\S+?)(?: \([^)]*\))?: .*?output_token_ids: \[([^\]]*)\]")
LEAP_YEAR = 2024  # a log names no year: one that has every day; instants are seconds since it began


def log_records(text: str) -> list[tuple[int, dict[str, Any]]]:
    """(line, record) of every request whose prompt and answer are in the log; nothing where the text is no such log."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    answers: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := PROMPT.search(line):
            month, day, hour, minute, second = (int(part) for part in match.groups()[:5])
            try:
                moment = datetime.datetime(LEAP_YEAR, month, day, hour, minute, second, tzinfo=datetime.UTC)
            except ValueError:
                continue
            since = (moment - datetime.datetime(LEAP_YEAR, 1, 1, tzinfo=datetime.UTC)).total_seconds()
            record: dict[str, Any] = {"instant": since, "prompt_tokens": _count(match[7])}
            found[match[6].rstrip(":")] = (number, record)
        elif match := ANSWER.search(line):
            name = match[1].rstrip(":")
            answers[name] = answers.get(name, 0) + _count(match[2])
    for name, (_, record) in found.items():
        record["output_tokens"] = answers.get(name, "")
    return list(found.values())


def _count(ids: str) -> int:
    """Of token ids between commas."""
    return len([one for one in ids.split(",") if one.strip()])
