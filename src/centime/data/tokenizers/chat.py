"""Chat templates: messages in, the text that the model reads out. Jinja in a sandbox, as a model folder ships it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from centime.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Template

MAX_TEXT, MAX_POWER = 2**24, 1000  # what a template may make by multiplying: characters; a base and an exponent
Message = Mapping[str, Any]


class _Refused(Exception):
    """raise_exception() of a template."""


def _refuse(message: str) -> None:
    raise _Refused(message)


def _small(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) <= MAX_POWER


def _size(left: Any, right: Any) -> int:
    """Of a text or list repeated: its length in characters or items; 0 for numbers."""
    if isinstance(left, int):
        left, right = right, left
    return len(left) * right if hasattr(left, "__len__") and isinstance(right, int) else 0


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=list)  # templates map() lists into generators


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    """Compiled once: it takes a hundred times as long as to render it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        """The sandbox, in which no product or power takes more memory than a text may."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and not (_small(left) and _small(right)):
                raise _Refused(f"a power of more than {MAX_POWER}")
            if operator == "*" and (size := _size(left, right)) > MAX_TEXT:
                raise _Refused(f"a text or list of {size:,}")
            return super().call_binop(context, operator, left, right)

    environment = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def render(template: str, messages: Sequence[Message], *, where: str, **names: Any) -> str:
    """The text of a conversation under a Jinja chat template.

    `names` are the further words a template may use: add_generation_prompt, bos_token, eos_token, tools. The
    environment is that of Hugging Face's chat templates: sandboxed, trim_blocks and lstrip_blocks on, with
    raise_exception and strftime_now. Raises UserError naming `where` when the template is broken or refuses them.
    """
    try:
        return _compiled(template).render(messages=list(messages), **names)
    except _Refused as refusal:
        raise UserError(f"The chat template of {where} refuses these messages: {refusal}") from refusal
    except Exception as error:  # a template is a program from elsewhere, and may fail in any way
        raise UserError(
            f"The chat template of {where} failed on these messages: {str(error) or type(error).__name__}. "
            'Messages are a list of {"role": "system" | "user" | "assistant", "content": text}; '
            "if they are, mend chat_template in its tokenizer_config.json."
        ) from error
