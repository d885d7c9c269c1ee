"""Chats rendered as DeepSeek-V3, R1, V3.1 and V3.2 know them, where the model folder's template does not do it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from centime.data.tokenizers.tokenizer import ASSISTANT, BOS, EOS, USER
from centime.errors import UserError
from centime.serve.formats.parser import THINK, THINK_END
from centime.serve.formats.tool_calls import CALL_BEGIN, CALL_END, CALLS_BEGIN, CALLS_END, DSML, SEP, Json, Tags

Message = Mapping[str, Any]

OUTPUTS_BEGIN, OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
OUTPUT_BEGIN, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"

REASONING_MISSING = "The reasoning_content in the thinking mode must be passed back to the API."  # DeepSeek's words


def render_json_calls(messages: Sequence[Message], tools: Sequence[Message], calls: Json, opening: str) -> str:
    """V3, R1 (fenced calls) and V3.1 (bare ones): system texts first, then the turns, then what opens the answer.

    opening: follows the last <｜Assistant｜>, such as "<think>\\n". The answer to a tool's output needs no opening.
    """
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    if tools:
        system = "\n\n".join(part for part in (system, _json_instructions(tools, calls)) if part)
    text = [BOS, system]
    answered = "" if calls.fenced else THINK_END  # V3.1 closes the thinking that an earlier turn did not keep
    outputs = False  # the last turns were tools'
    for message in messages:
        content = message["content"]
        if message["role"] == "tool":
            if calls.fenced and not outputs:
                text.append(OUTPUTS_BEGIN)
            text.append(OUTPUT_BEGIN + content + OUTPUT_END)
            outputs = True
            continue
        if message["role"] == "system":
            continue
        if outputs and calls.fenced:
            text.append(OUTPUTS_END)
        if message["role"] == "user":
            text.append(USER + content)
        else:
            text.append(content if outputs else ASSISTANT + answered + content)
            if message.get("tool_calls"):
                text.append(calls.write(message["tool_calls"]))
            text.append(EOS)
        outputs = False
    if outputs:
        text.append(OUTPUTS_END if calls.fenced else "")
    else:
        text.append(ASSISTANT + opening)
    return "".join(text)


def _json_instructions(tools: Sequence[Message], calls: Json) -> str:
    """What tells the model which functions there are and how to call them."""
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    shape = (
        f"{CALLS_BEGIN}{CALL_BEGIN}function{SEP}NAME\n```json\nARGUMENTS\n```{CALL_END}{CALLS_END}"
        if calls.fenced
        else f"{CALLS_BEGIN}{CALL_BEGIN}NAME{SEP}ARGUMENTS{CALL_END}{CALLS_END}"
    )
    return (
        "## Tools\n\nYou may call these functions, each described by a JSON schema:\n"
        f"{listed}\n\nTo call functions, end your answer with exactly this, one call block a function:\n{shape}\n"
        "NAME is a function's name; ARGUMENTS is a JSON object that fits its parameters."
    )


def render_tag_calls(messages: Sequence[Message], tools: Sequence[Message], calls: Tags, *, thinking: bool) -> str:
    """V3.2, as encoding_dsv32.py in its model folder: reasoning is kept after the last user turn and dropped before.

    Raises UserError where, in thinking mode, an assistant turn with tool calls after it lacks its reasoning_content.
    """
    last_user = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    text = [BOS]
    if tools and (not messages or messages[0]["role"] != "system"):
        text.append("\n\n" + _tag_instructions(tools, calls))
    outputs_left = outputs_begun = 0
    for at, message in enumerate(messages):
        content, role = message["content"], message["role"]
        think = THINK if thinking and at >= last_user else THINK_END
        if role == "system":
            text.append(content)
            if tools and at == 0:
                text.append("\n\n" + _tag_instructions(tools, calls))
        elif role == "user":
            text.append(USER + content + ASSISTANT + think)
        elif role == "assistant":
            called = message.get("tool_calls") or []
            if thinking and at > last_user:
                if called and message.get("reasoning_content") is None:
                    raise UserError(REASONING_MISSING)
                text.append((message.get("reasoning_content") or "") + THINK_END)
            text.append(content + (calls.lead + calls.write(called) if called else "") + EOS)
            outputs_left, outputs_begun = len(called), 0
        else:
            text.append(("" if outputs_begun else "\n\n<function_results>") + f"\n<result>{content}</result>")
            outputs_begun, outputs_left = 1, outputs_left - 1
            if outputs_left <= 0 or at + 1 == len(messages):
                text.append("\n</function_results>\n\n" + think)
    return "".join(text)


def _tag_instructions(tools: Sequence[Message], calls: Tags) -> str:
    """The text V3.2 was trained with (encoding_dsv32.py, MIT licence)."""
    block = f"<{DSML}{calls.block}>"
    block_end = f"</{DSML}{calls.block}>"
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    return f"""## Tools

You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "{block}" block like the following as part of your reply to the user:
{block}
<{DSML}invoke name="$FUNCTION_NAME">
<{DSML}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</{DSML}parameter>
...
</{DSML}invoke>
<{DSML}invoke name="$FUNCTION_NAME2">
...
</{DSML}invoke>
{block_end}

String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should \
use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types \
(numbers, booleans, arrays, objects).

If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. \
Here is an example:

{block}
...
{block_end}

<function_results>
...
</function_results>

{THINK}...thinking about results{THINK_END}

Here are the functions available in JSONSchema format:
<functions>
{listed}
</functions>
"""
