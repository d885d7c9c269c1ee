"""The chat that a request to the Responses API is: items as messages, tools and formats in the chat API's words."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from centime.serve.http.errors import ApiError
from centime.serve.http.validation import misfit
from centime.serve.protocol.responses.responses_request import Item, ResponsesRequest
from centime.serve.wording import in_words

THOUGHTS = "centime:"  # begins a thought that went out as `encrypted_content`
CUSTOM = "input"  # the one argument of a function that stands for a custom tool
_TEXTS = {"input_text", "output_text", "text", "reasoning_text", "summary_text"}


M = TypeVar("M", bound=BaseModel)


def read_chat(model: type[M], body: dict[str, Any]) -> M:
    """The chat by its types. Raises ApiError for what does not fit them, in the chat API's names."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        wrong = misfit(problems, body)
        raise ApiError(wrong.status, wrong.message, param=wrong.param, code=wrong.code) from None


def chat_of(asked: ResponsesRequest) -> dict[str, Any]:
    """The body of the chat completion. Raises ApiError (400) for an item that a chat has no place for."""
    body: dict[str, Any] = {"model": asked.model, "messages": _messages(asked)}
    given: dict[str, Any] = {
        "max_tokens": asked.max_output_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stream": asked.stream,
        "parallel_tool_calls": asked.parallel_tool_calls if asked.tools else None,
        "reasoning_effort": asked.reasoning.effort if asked.reasoning else None,
        "user": asked.user or asked.safety_identifier,
        "metadata": asked.metadata,
        "response_format": _format(asked),
    }
    if asked.stream:
        given["stream_options"] = {"include_usage": True}
    if tools := [tool for one in asked.tools or () if (tool := _tool(one)) is not None]:
        given |= {"tools": tools, "tool_choice": _choice(asked.tool_choice)}
    return body | {name: value for name, value in given.items() if value is not None}


def custom_tools(asked: ResponsesRequest) -> set[str]:
    """Names of the tools whose input is any text."""
    return {str(one.get("name")) for one in asked.tools or () if one.get("type") == "custom"}


def _messages(asked: ResponsesRequest) -> list[dict[str, Any]]:
    turns = _Conversation()
    if asked.instructions:
        turns.say("system", asked.instructions)
    if isinstance(asked.input, str):
        turns.say("user", asked.input)
        return turns.messages
    for number, item in enumerate(asked.input):
        turns.take(item, f"input.{number}")
    if not turns.messages:
        raise ApiError(400, "input is empty; give a text, or at least one item.", param="input")
    return turns.messages


class _Conversation:
    """Messages in the making: thoughts, text and calls of the model that follow one another are one message."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def say(self, role: str, content: Any) -> None:
        self.messages.append({"role": role, "content": content})

    def take(self, item: Item, where: str) -> None:
        kind = item.get("type", "message")
        if kind == "message":
            self._message(item, where)
        elif kind == "reasoning":
            if thought := _thought(item, where):
                self._model()["reasoning_content"] = thought
        elif kind in ("function_call", "custom_tool_call"):
            self._call(item, kind == "custom_tool_call", where)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            content = item.get("output")
            content = content if isinstance(content, str) else _content(content, f"{where}.output")
            turn = {"role": "tool", "tool_call_id": _word(item, "call_id", where), "content": content}
            self.messages.append(turn)
        elif kind == "item_reference":
            raise _wrong(where, "refers to an item of an earlier response, and nothing is kept: send the item itself")
        else:
            raise _wrong(where, f"is of type {in_words(kind)}, which is not known here")

    def _message(self, item: Item, where: str) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            raise _wrong(where, f"has the role {in_words(role)}; expected user, assistant, system or developer")
        content = _content(item.get("content"), f"{where}.content")
        if role == "assistant":
            turn = self._model(fresh="content")
            turn["content"] = content
        else:
            self.say("system" if role == "developer" else role, content)

    def _call(self, item: Item, custom: bool, where: str) -> None:
        given = item.get("input" if custom else "arguments", "")
        arguments = json.dumps({CUSTOM: given}, ensure_ascii=False) if custom else given
        if not isinstance(arguments, str):
            raise _wrong(where, f"has arguments that are {in_words(arguments)}; expected JSON as a string")
        function = {"name": _word(item, "name", where), "arguments": arguments}
        call = {"id": _word(item, "call_id", where), "type": "function", "function": function}
        self._model().setdefault("tool_calls", []).append(call)

    def _model(self, fresh: str | None = None) -> dict[str, Any]:
        """The model's message that is being put together; a new one where the last has a field `fresh` already."""
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant" and not (fresh and (last.get(fresh) or last.get("tool_calls"))):
            return last
        self.messages.append({"role": "assistant", "content": None})
        return self.messages[-1]


def _content(value: Any, where: str) -> Any:
    """A content as chats have it: one text where it is nothing else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise _wrong(where, f"is {in_words(value)}; expected a string or a list of parts")
    parts = [_part(part, f"{where}.{number}") for number, part in enumerate(value)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXTS or kind == "refusal":
        return {"type": "text", "text": _word(part, "refusal" if kind == "refusal" else "text", where)}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if isinstance(part.get("detail"), str) else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    raise _wrong(
        where, f"is {in_words(part) if kind is None else f'of type {in_words(kind)}'}; expected text or an image"
    )


def _thought(item: Item, where: str) -> str:
    """The text of a thought, wherever the client kept it; '' where it kept none."""
    sealed = item.get("encrypted_content")
    if isinstance(sealed, str) and sealed.startswith(THOUGHTS):
        try:
            return base64.b64decode(sealed.removeprefix(THOUGHTS), validate=True).decode()
        except (binascii.Error, ValueError):
            raise _wrong(where, "has an encrypted_content that is none of this server's") from None
    for name in ("content", "summary"):
        if parts := item.get(name):
            found = _content(parts, f"{where}.{name}")
            return found if isinstance(found, str) else ""
    return ""


def _tool(tool: Item) -> dict[str, Any] | None:
    """A function in the chat API's words; None for a tool that the vendor's own servers run: it is not offered."""
    kind = tool.get("type")
    if kind == "function":
        names = ("name", "description", "parameters", "strict")
        return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}
    if kind == "custom":
        described = str(tool.get("description") or "")
        schema = {"type": "object", "properties": {CUSTOM: {"type": "string"}}, "required": [CUSTOM]}
        return {
            "type": "function",
            "function": {"name": tool.get("name"), "description": described, "parameters": schema},
        }
    return None


def _choice(choice: str | Item | None) -> Any:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") in ("function", "custom"):
        return {"type": "function", "function": {"name": choice.get("name")}}
    if choice.get("type") == "allowed_tools":
        tools = [_choice(one) for one in choice.get("tools") or () if isinstance(one, dict)]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode"), "tools": tools}}
    return choice


def _format(asked: ResponsesRequest) -> dict[str, Any] | None:
    found = asked.text.format if asked.text else None
    if found is None or found.type == "text":
        return None
    if found.type == "json_object":
        return {"type": "json_object"}
    schema = {"name": found.name, "description": found.description, "schema": found.schema_, "strict": found.strict}
    return {"type": "json_schema", "json_schema": {name: value for name, value in schema.items() if value is not None}}


def _word(item: Item, name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise _wrong(where, f"needs a string as its {name}; found {in_words(value)}")
    return value


def _wrong(where: str, what: str) -> ApiError:
    return ApiError(400, f"{where} {what}.", param=where)
