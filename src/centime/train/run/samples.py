"""What the model writes at the end of a stage, for the reader of the report: samples.jsonl."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.files.durable import whole_file
from centime.json_files import whole_lines
from centime.model import Transformer
from centime.recipe import Recipe
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.session import Session
from centime.train.run.callbacks import Record
from centime.train.stages import StagePlan, TextRows

PROMPT, LENGTH = 24, 64  # tokens


def write_sample(
    path: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    plan: StagePlan,
    tokens: int,
    recipe: Recipe,
    more: Sequence[Record] = (),
) -> None:
    """Adds the model's continuation of a held-out beginning (of a prompt, after sft), greedily drawn.

    A stage has one sample, the latest; its key `tokens` is how many the run had trained on. more: of the same stage,
    whose name theirs begin with ("rl, best of ..."). A full disk, a model that
    cannot answer (of one position, or not finite) and a damaged file lose samples, never the run.
    """
    try:
        prompt = _prompt(plan, recipe)
        answer = Session(model, tokenizer).answer(prompt, SamplingParams(temperature=0.0, max_tokens=LENGTH))
        own = {"stage": plan.name, "prompt": tokenizer.decode(prompt), "text": answer.text}
        made = [{"stage": one["stage"], "tokens": tokens, **one} for one in (*more, own)]
        earlier = whole_lines(path) if path.exists() else ()
        kept = [line for line in earlier if "stage" in line and line["stage"].partition(", ")[0] != plan.name]
        with whole_file(path) as partial:
            lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in [*kept, *made])
            partial.write_text("".join(lines), encoding="utf-8", errors="replace")
    except (OSError, UserError):
        pass
    finally:
        model.train()


def _prompt(plan: StagePlan, recipe: Recipe) -> list[int]:
    """Token ids: the beginning of the first held-out row, or the first pair's prompt."""
    if (prompt := plan.rows.prompt()) is not None:
        return prompt
    sources = recipe.data.held_out or recipe.data.train
    rows = TextRows(sources, plan.stage.sequence_length, seed=0, mtp_depth=0)
    length = min(PROMPT, plan.stage.sequence_length // 2)
    found: list[int] = rows.loader.rows(0, 1)[0, :length].tolist()
    return found
