"""Records of chats in the shapes that people publish, as messages: one reader for all of them.

OpenAI's {"messages", "tools"} (also under "conversations"), ShareGPT's {"conversations": [{"from", "value"}]}, Alpaca's
{"instruction", "input", "output"}, prompts with answers ("answer", "completion", "response"), and for preferences
"chosen" beside "rejected". Rows of Parquet have every key that any row has: null is as good as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from centime.errors import UserError

Messages = list[dict[str, Any]]

ANSWERS = ("answer", "completion", "response")
SPEAKERS = {  # of ShareGPT, and of those who write its shape with OpenAI's names
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant", "model": "assistant",
    "system": "system", "tool": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
EXPECTED = (
    'expected {"prompt": text, "answer": text} (or "completion"), {"messages": [{"role": ..., "content": ...}, ...]}, '
    '{"conversations": [{"from": ..., "value": ...}, ...]} or {"instruction", "input", "output"}'
)


@dataclass(frozen=True)
class ChatRecord:
    """Messages as a chat template takes them, and the tools that were offered."""

    messages: Messages
    tools: Sequence[Any] = field(default_factory=tuple)


@dataclass(frozen=True)
class Preference:
    """Two conversations that are the same up to their last answers."""

    chosen: ChatRecord
    rejected: ChatRecord


def conversation(record: Any, where: str) -> ChatRecord:
    """A record with an answer. Raises UserError naming `where` and what is wrong there."""
    if not isinstance(record, dict):
        raise UserError(f"{where} has a {type(record).__name__}; {EXPECTED}. Rename the keys.")
    row = {key: value for key, value in record.items() if value is not None}
    found = ChatRecord(_messages(row, record, where), _tools(row.get("tools"), where))
    _require_answer(found.messages, where)
    return found


def preference(record: Any, where: str) -> Preference:
    """A record with two answers, of which one is preferred. Raises UserError naming `where`.

    "chosen" and "rejected" are whole conversations, or answers to "prompt", as messages or as text.
    """
    row = {key: value for key, value in record.items() if value is not None} if isinstance(record, dict) else {}
    if not {"chosen", "rejected"} <= row.keys():
        found = f"the keys {', '.join(map(repr, record))}" if isinstance(record, dict) else f"a {type(record).__name__}"
        raise UserError(
            f'{where} has {found}; expected a preference: {{"prompt": ..., "chosen": ..., "rejected": ...}}, each a '
            "text or a list of messages. Rename the keys."
        )
    before = _side(row.get("prompt", []), "user", where)
    tools = _tools(row.get("tools"), where)
    sides = []
    for key in ("chosen", "rejected"):
        messages = [*before, *_side(row[key], "assistant", f"{where}, {key}")]
        if row.get("system") and isinstance(row["system"], str):
            messages.insert(0, {"role": "system", "content": row["system"]})
        _require_answer(messages, f"{where}, {key}")
        if messages[-1]["role"] != "assistant":
            raise UserError(f"{where}, {key} does not end with an answer of the assistant. Mend it.")
        sides.append(ChatRecord(messages, tools))
    if sides[0].messages[:-1] != sides[1].messages[:-1]:
        raise UserError(
            f"{where}: chosen and rejected differ before their last answers; a preference is between two answers to "
            "the same conversation. Mend it."
        )
    return Preference(*sides)


def _messages(row: Mapping[str, Any], record: Mapping[str, Any], where: str) -> Messages:
    """Of any of the shapes."""
    for key in ("messages", "conversations", "conversation"):
        if key in row:
            listed = _listed(row[key], where)
            if isinstance(row.get("system"), str) and row["system"]:
                listed = [{"role": "system", "content": row["system"]}, *listed]
            return [_message(one, where) for one in listed]
    if {"instruction", "output"} <= row.keys():
        more = row.get("input", "")
        _require_texts(where, instruction=row["instruction"], input=more, output=row["output"])
        asked = f"{row['instruction']}\n\n{more}" if more else row["instruction"]
        system = [{"role": "system", "content": row["system"]}] if isinstance(row.get("system"), str) else []
        return [*system, {"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
    answer = next((key for key in ANSWERS if key in row), None)
    if "prompt" in row and answer is not None:
        return [*_side(row["prompt"], "user", where), *_side(row[answer], "assistant", where)]
    raise UserError(f"{where} has the keys {', '.join(map(repr, record))}; {EXPECTED}. Rename the keys.")


def _side(value: Any, role: str, where: str) -> Messages:
    """A text that `role` says, or messages as they are."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return [_message(one, where) for one in _listed(value, where)]


def _listed(value: Any, where: str) -> list[Any]:
    if isinstance(value, str):  # some keep the list as JSON in a column of text
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise UserError(f"{where}: every message needs a role and a content, both text. Mend the line.")
    return value


def _message(given: Any, where: str) -> dict[str, Any]:
    """One message with OpenAI's names: role, content, and where there are some reasoning_content and tool_calls."""
    message = {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else {}
    if "role" not in message and "from" in message:
        speaker = message.pop("from")
        calls = speaker == "function_call"
        if not calls and speaker not in SPEAKERS:
            raise UserError(f"{where}: a message is from {speaker!r}; known are {', '.join(SPEAKERS)}. Mend the line.")
        said = message.pop("value", None)
        if calls:
            message |= {"role": "assistant", "content": "", "tool_calls": [_call(said, where)]}
        else:
            message |= {"role": SPEAKERS[speaker], "content": said}
    content = message.get("content", "" if message.get("tool_calls") else None)
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not (isinstance(message.get("role"), str) and isinstance(content, str)):
        raise UserError(f"{where}: every message needs a role and a content, both text. Mend the line.")
    message["content"] = content
    thought = next((message.pop(key) for key in THOUGHTS if key in message), None)
    if thought and not isinstance(thought, str):
        raise UserError(f"{where}: reasoning_content is no text. Mend the line.")
    return message | ({"reasoning_content": thought} if thought else {})


def _call(said: Any, where: str) -> dict[str, Any]:
    """ShareGPT's call of a function: {"name", "arguments"}, mostly as JSON in a text."""
    try:
        call = json.loads(said) if isinstance(said, str) else said
        return {"type": "function", "function": {"name": call["name"], "arguments": call.get("arguments", {})}}
    except (ValueError, TypeError, KeyError, AttributeError):
        expected = 'a function_call has {"name", "arguments"} for its value'
        raise UserError(f"{where}: {expected}. Mend the line.") from None


def _tools(given: Any, where: str) -> list[Any]:
    """The tools of a record: a list of their descriptions, or one as JSON in a text."""
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given)
        except ValueError:
            given = {"tools": given}
    if not given:
        return []
    if not isinstance(given, list):
        raise UserError(f"{where}: tools are a list of descriptions, or one as JSON in a text. Mend the line.")
    return given


def _require_texts(where: str, **values: Any) -> None:
    for key, value in values.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: {key} is no text. Mend the line.")


def _require_answer(messages: Messages, where: str) -> None:
    if not any(message["role"] == "assistant" for message in messages):
        raise UserError(f"{where} has no answer: no message of the role 'assistant'. Add one, or leave the line out.")
