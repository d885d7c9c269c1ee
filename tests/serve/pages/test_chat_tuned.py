"""Whether a model was tuned to chat is told by its folder, or by the run that it came from."""

from __future__ import annotations

import json
from pathlib import Path

from centime import recipe as recipes
from centime.serve.pages.chat_tuned import tuned_for_chat


def test_whether_a_model_chats_is_told_by_its_folder(tmp_path: Path) -> None:
    def folder(name: str, config: dict[str, str] | None = None) -> Path:
        made = tmp_path / name
        made.mkdir(parents=True)
        (made / "config.json").write_text(json.dumps(config or {}))
        return made

    assert tuned_for_chat(folder("DeepSeek-V3"), "a template")
    assert not tuned_for_chat(folder("DeepSeek-V3-Base"), "a template")
    assert not tuned_for_chat(folder("models--deepseek-ai--DeepSeek-V3-Base/snapshots/0123"), "a template")
    assert tuned_for_chat(folder("database-model"), "a template")
    assert not tuned_for_chat(folder("plain"), None)
    assert tuned_for_chat(folder("new", {"model_type": "deepseek_v32"}), None)
    whole = 'name = "r"\n[model]\ndepth = 2\n[data]\ntokenizer = "t"\ntrain = [{path = "t"}]\n[train]\ntokens = "1M"\n'
    resolved = recipes.write(recipes.parse(whole))  # as a run's folder has it, every default written out
    tuned = recipes.write(recipes.parse(whole + '[sft]\ndata = "p.jsonl"\n'))
    kinds = {"cut": ("[sft", True), "plain-run": (resolved, False), "tuned-run": (tuned, True)}
    for name, (recipe, chats) in ({"tuned": ("[sft]\n", True), "not-tuned": ("[train]\n", False)} | kinds).items():
        model = folder(f"{name}/model")
        (tmp_path / name / "recipe.toml").write_text(recipe)
        assert tuned_for_chat(model, "a template") is chats
        assert not tuned_for_chat(folder(f"{name}/base"), "a template")
