"""Short forms of a recipe: what stands for several keys, or may be left out, becomes the keys that it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from centime.errors import UserError, nearest
from centime.recipe.stages import KINDS
from centime.typed_trees import as_written


def expanded(tree: dict[str, Any]) -> dict[str, Any]:
    """`[context]` once is a list of one, and so is `[stage]`; `[model] preset/depth` becomes the fields they stand for.

    `[rl]` is a recipe's one stage, of that kind.

    `[model] from` is the recipe's `start`. A recipe that has one, or says [[stage]], has a [train] where it states it.
    """
    tree = dict(tree)
    if "rl" in tree:
        _reinforced(tree)
    for key in ("context", "stage"):
        if isinstance(tree.get(key), dict):
            tree[key] = [tree[key]]
    if isinstance(tree.get("model"), dict):
        tree["model"] = dict(tree["model"])
        if "from" in tree["model"]:
            tree["start"] = _start(tree["model"], tree.get("start"))
        tree["model"] = _model(tree["model"])
    if tree.get("stage") or tree.get("start") is not None:
        tree.setdefault("train", None)
    if isinstance(tree.get("stage"), list):
        for number, table in enumerate(tree["stage"]):
            _require_kind(table, number)
    return tree


def _reinforced(tree: dict[str, Any]) -> None:
    """`[rl]` as a [[stage]], with what its runs have where they do not state it: answers are short, and steps long."""
    if other := next((key for key in ("stage", "train", "context", "sft") if tree.get(key)), None):
        raise UserError(f"[rl] and [{other}] are both stated; among others it is a [[stage]] of kind 'rl', as all are.")
    table, run = tree.pop("rl"), tree.get("run", {})
    if isinstance(table, dict) and isinstance(run, dict):
        table = {"deterministic": run.get("deterministic", False), **table, "kind": "rl"}
        tree["run"] = {"micro_batch": 64, "checkpoint_every": 20, "deterministic": False, **run}
    tree["stage"] = [table]
    if "start" in tree:
        tree.setdefault("model", {})  # as earlier versions wrote it


def _start(table: dict[str, Any], stated: Any) -> Any:
    """`from` of [model], taken out of it."""
    start = table.pop("from")
    if stated is not None:
        raise UserError("start and model.from are both stated, and are one key: keep one of them.")
    for other in ("preset", "depth"):
        if table.get(other) is not None:
            raise UserError(
                f"model.from and model.{other} are both stated; the one takes weights that exist, the other begins "
                "with random ones: keep one of them."
            )
    if start is not None and (not isinstance(start, str) or not start):
        raise UserError(f"model.from is {as_written(start)}; expected a model's folder, a run, or a Hub id, in quotes.")
    return start


def _require_kind(table: Any, number: int) -> None:
    kind = table.get("kind") if isinstance(table, dict) else None
    if kind in KINDS or not isinstance(table, dict):
        return
    found = "has no kind" if kind is None else f"is of kind {as_written(kind)}"
    hint = nearest(kind, KINDS) if isinstance(kind, str) else ""
    raise UserError(f"stage.{number} {found}; expected kind = one of {', '.join(map(repr, KINDS))}.{hint}")


def _model(table: dict[str, Any]) -> dict[str, Any]:
    """{preset or depth, fields...} -> fields: those of the preset, replaced by the ones stated beside it."""
    fields = dict(table)
    start, depth = fields.pop("preset", None), fields.pop("depth", None)
    if start is not None and depth is not None:
        raise UserError("model.preset and model.depth are both stated; each chooses a whole model, keep one of them.")
    if start is None and depth is None:
        return fields
    from centime.catalogue.presets import DEPTHS, from_depth, preset

    if start is not None and not isinstance(start, str):
        raise UserError(f'model.preset is {start!r}; expected a model\'s name in quotes, such as "deepseek-v3".')
    if start is None and (type(depth) is not int or depth not in DEPTHS):
        raise UserError(
            f"model.depth is {as_written(depth)}; expected a whole number from {DEPTHS[0]} to {DEPTHS[-1]}."
        )
    if start is not None and Path(start).is_dir():
        raise UserError(
            f'model.preset is {start!r}, a folder; expected the name of an architecture, such as "deepseek-v3". '
            f'To go on from the weights in a folder, say from = "{start}" instead.'
        )
    base = preset(start) if start is not None else from_depth(depth)
    stated = base.model_dump(exclude_unset=True)
    if depth is not None or str(start).startswith("centime-"):
        del stated["vocab_size"]  # ours take the tokenizer's; DeepSeek's own models keep theirs
    return {**stated, **fields}
