"""Every model that the planner knows, by any of the names that people write for it.

`architecture("DeepSeekV3")` finds a row of models.csv (or of the user's $CENTIME_HOME/models.csv, which comes first), a
preset of centime's own (`centime-d4`), a model folder with config.json, sizes in a line (`16B-A3B,layers=27`), or asks
the Hub for the config.json of any other `owner/name`. Names are compared without case, spaces and punctuation, then
without the owner in front of a slash and the precision behind: `nvidia/Qwen3-235B-A22B-NVFP4` and `Qwen3_235B_a22B` are
one model.
"""

from __future__ import annotations

import datetime
import difflib
import functools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from centime.catalogue.architecture import (
    Architecture,
    ExpertsSpec,
    FeedForwardSpec,
    LatentAttention,
    LayerGroup,
    Mixer,
    SoftmaxAttention,
    StoredWeights,
)
from centime.catalogue.home import centime_home
from centime.catalogue.layer_pattern import blocks_of
from centime.csv_files import read_rows
from centime.errors import UserError, nearest, nearest_name
from centime.messages import said

if TYPE_CHECKING:  # pydantic takes 0.1 s to import
    from centime.catalogue.model_config import ModelConfig

TABLE = Path(__file__).parent / "models.csv"
RELEASED_WEIGHTS = TABLE.parent / "released_weights.csv"

_HEADING = """
    name aliases pattern hidden vocab heads kv_heads head_dim value_dim window window_heads window_kv_heads
    window_head_dim output_gate bias q_rank kv_rank nope_dim rope_dim index_topk index_heads index_dim out_groups
    out_rank ssm_heads ssm_head_dim ssm_state ssm_groups delta ffn gated experts top_k expert_width shared_width
    latent_dim correction_bias groups top_groups tied mtp_modules mtp_pattern learned_positions streams norm_bias
    published_params published_active source assumptions
"""
COLUMNS = _HEADING.split()
_NEEDED = ("name", "pattern", "hidden", "vocab")
_TEXTS = {"name", "aliases", "pattern", "mtp_pattern", "source", "assumptions"}

# Behind a name these say how its numbers are stored, or how it was tuned, not what it is made of.
_SUFFIX = re.compile(
    r"[-_ ](fp8|fp4|nvfp4|mxfp4|mxfp8|bf16|int4|int8|awq|static|pertensor|instruct|it|thinking|base|chat|hf)$", re.I
)


def spellings(name: str) -> list[str]:
    """How `name` is looked up, most literal first: all of it; without parentheses, owner, precision."""
    bare = re.sub(r"\([^)]*\)", " ", name).strip()
    bare = bare.rsplit("/", 1)[-1].strip()
    forms = [name, bare]
    while (shorter := _SUFFIX.sub("", bare)) != bare:
        bare = shorter
        forms.append(bare)
    return list(dict.fromkeys(re.sub(r"[^a-z0-9]", "", form.lower()) for form in forms))


def architecture(name: str, ask_hub: bool = True) -> Architecture:
    """The model called `name`: a folder with config.json, of the user's table or the catalogue, a preset, the Hub's.

    A folder comes before a name that is spelt alike: whoever has a model's files asks about these. Text in braces is
    the configuration itself, as JSON: what a recipe's model is. The Hub is asked for an owner/name that is none of the
    others, unless `ask_hub` is false. Raises UserError with the nearest names where there is none.
    """
    if name.lstrip().startswith("{"):
        from centime.catalogue.model_config import config_of

        return from_config(config_of(name), "own configuration")
    folder = Path(os.path.expanduser(name))
    if os.path.isdir(folder) or folder.name == "config.json":  # the reader's imports take a tenth of a second
        from centime.catalogue.decoders import read_architecture
        from centime.catalogue.hf import holds_model, model_folder

        if holds_model(folder):
            return read_architecture(model_folder(folder) / "config.json", name)
    found = known(name)
    if found is not None:
        return found
    if re.fullmatch(r"centime-d\d+(-mtp)?", name):
        from centime.catalogue.presets import preset

        return from_config(preset(name), name)
    from centime.catalogue.sizes import derived, is_stated, read_stated

    if is_stated(name):
        return derived(read_stated(name))
    choices = names()
    hint = nearest_name(name, choices, lambda text: spellings(text)[0], _kin(name, choices))
    if ask_hub and "/" in name:
        from centime.catalogue.hf.hub import is_hub_name

        if is_hub_name(name):
            return _of_hub(name, hint)
    raise UserError(
        f"There is no model called {name!r}.{hint} Known are {len(choices)} models, such as DeepSeek-V3, "
        "Llama-3.1-405B and centime-d4; give a folder with config.json, the owner/name of a model on the Hugging Face "
        f"Hub, or add a row to {overlay_path()}."
    )


def _of_hub(name: str, hint: str) -> Architecture:
    from centime.catalogue.decoders import read_architecture
    from centime.catalogue.hf.hub import hub_config

    file = hub_config(name, hint)
    day = datetime.date.fromtimestamp(file.stat().st_mtime).isoformat()
    source = said("config.json of {name} on the Hugging Face Hub, as it was here on {day:date}", name=name, day=day)
    return replace(read_architecture(file, name), source=source)


def _kin(name: str, choices: list[str]) -> list[str]:
    """The names that a person may have meant: those whose first word is spelt nearly so ('glm', not 'llama')."""
    words = {choice: re.split(r"[^a-z]", choice.rsplit("/", 1)[-1].lower())[0] for choice in choices}
    first = re.split(r"[^a-z]", name.rsplit("/", 1)[-1].lower())[0]
    close = set(difflib.get_close_matches(first, set(words.values()), n=3, cutoff=0.75))
    return [choice for choice in choices if words[choice] in close]


def known(name: str) -> Architecture | None:
    """The model of the user's table or the catalogue that `name` names, or None."""
    own = _overlay(overlay_path())
    for form in spellings(name):
        for table in (own, _catalogue()):
            if form in table:
                return table[form]
    return None


def names() -> list[str]:
    """Every model of the user's table and the catalogue, by its own name."""
    return list(
        dict.fromkeys(arch.name for table in (_overlay(overlay_path()), _catalogue()) for arch in table.values())
    )


def overlay_path() -> Path:
    """The user's own models: $CENTIME_HOME/models.csv, with models.csv's columns (those that apply)."""
    return centime_home() / "models.csv"


@functools.cache
def _catalogue() -> dict[str, Architecture]:
    """The catalogue's models, with the format of those of which no weights of 16 bits were ever published."""
    released = {
        row["name"]: StoredWeights(row["method"], row["experts"], row["rest"]) for row in read_rows(RELEASED_WEIGHTS)
    }
    return {form: replace(arch, stored=released.get(arch.name)) for form, arch in read_table(TABLE).items()}


def _overlay(path: Path) -> dict[str, Architecture]:
    return _read_cached(path, path.stat().st_mtime_ns) if path.is_file() else {}


@functools.lru_cache(maxsize=4)
def _read_cached(path: Path, _changed: int) -> dict[str, Architecture]:
    return read_table(path)


def read_table(path: Path) -> dict[str, Architecture]:
    """The models of a table by every spelling of their names and aliases. Raises UserError naming row and column."""
    found: dict[str, Architecture] = {}
    for index, row in enumerate(read_rows(path), 1):
        arch = _from_row(row, f"{path}, model {index}")
        for alias in [arch.name, *(row.get("aliases") or "").split("|")]:
            if alias.strip():
                literal, *shorter = spellings(alias)
                found[literal] = arch
                for form in shorter:
                    found.setdefault(form, arch)
    return found


def _from_row(row: Mapping[str, str], where: str) -> Architecture:
    for key in row:
        if key not in COLUMNS:
            raise UserError(f"{where}: unknown column {key!r}.{nearest(str(key), COLUMNS)}")
    for key in _NEEDED:
        if not (row.get(key) or "").strip():
            raise UserError(f"{where}: {key!r} is missing; a model needs at least {', '.join(_NEEDED)}.")
    sizes: dict[str, float] = {}
    for key in COLUMNS:
        if key in _TEXTS or not (row.get(key) or "").strip():
            continue
        try:
            sizes[key] = float(row[key])
        except ValueError:
            raise UserError(f"{where}: {key} is {row[key]!r}; expected a number.") from None
        if not 0 <= sizes[key] < math.inf:
            raise UserError(f"{where}: {key} is {row[key]}; a size is a finite number, and not negative.")
    try:
        blocks = blocks_of(row["pattern"], sizes)
        mtp = blocks_of(row["mtp_pattern"], sizes) if (row.get("mtp_pattern") or "").strip() else ()
    except KeyError as error:
        raise UserError(f"{where}: the pattern {row['pattern']!r} needs the column {error.args[0]!r}.") from None
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from None
    notes = tuple(note.strip() for note in (row.get("assumptions") or "").split("|") if note.strip())
    return Architecture(
        name=row["name"].strip(),
        hidden=int(sizes["hidden"]),
        vocab=int(sizes["vocab"]),
        blocks=blocks,
        tied=bool(sizes.get("tied")),
        mtp_modules=int(sizes.get("mtp_modules", 0)),
        learned_positions=int(sizes.get("learned_positions", 0)),
        streams=int(sizes.get("streams", 1)),
        published_params=sizes.get("published_params"),
        published_active=sizes.get("published_active"),
        source=_source((row.get("source") or "").strip()),
        assumptions=notes,
        mtp_blocks=mtp,
        norm_bias=bool(sizes.get("norm_bias")),
    )


def _source(text: str) -> str:
    _, vendored, where = text.partition("config.json as vendored in ")
    return said("config.json as vendored in {where}", where=where) if vendored else text


def from_config(config: ModelConfig, name: str = "") -> Architecture:
    """The architecture of a model that centime can build."""
    mixer: Mixer
    if config.kv_lora_rank is None:
        vectors = {"bias": config.qkv_bias, "out_bias": config.out_bias, "head_norms": config.qk_norm}
        mixer = SoftmaxAttention(config.num_attention_heads, config.kv_heads, config.v_head_dim, **vectors)
    else:
        mixer = LatentAttention(
            config.num_attention_heads,
            config.q_lora_rank,
            config.kv_lora_rank,
            config.qk_nope_head_dim,
            config.qk_rope_head_dim,
            config.v_head_dim,
        )
    dense = FeedForwardSpec(config.intermediate_size)
    mixture = ExpertsSpec(
        config.n_routed_experts or 0,
        min(config.num_experts_per_tok, config.n_routed_experts or 0),
        config.moe_intermediate_size,
        config.shared_width,
        correction_bias=config.topk_method == "noaux_tc",
        groups=config.n_group or 1,
        top_groups=config.topk_group or 1,
    )
    kinds = [config.layer_has_experts(layer) for layer in range(config.num_hidden_layers)]
    last = config.layer_has_experts(config.num_hidden_layers)  # an MTP module's layer
    return Architecture(
        name=name,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
        blocks=tuple(LayerGroup(mixer, mixture if kind else dense, kinds.count(kind)) for kind in dict.fromkeys(kinds)),
        tied=config.tie_word_embeddings,
        mtp_modules=config.num_nextn_predict_layers,
        source="its configuration",
        mtp_blocks=(LayerGroup(mixer, mixture if last else dense),) if config.num_nextn_predict_layers else (),
    )


def from_sizes(**columns: str | float | None) -> Architecture:
    """The architecture that a row of a runs table describes: model, arch, params_total_b, params_active_b, layers,
    hidden, heads, kv_heads, ffn, vocab, n_experts, topk, attention, seq_len; text or numbers, empty where unknown.

    A model that the catalogue knows takes the catalogue's sizes (a learned position table has a row per position of
    `seq_len`), unless the row's own layers or hidden size say otherwise. What neither says is filled in by a stated
    assumption. Raises UserError when there are not even layers and hidden size, or a parameter count.
    """
    from centime.catalogue.sizes import estimate

    text = {key: "" if value is None else str(value).strip() for key, value in columns.items()}
    found = known(text.get("model", "")) if text.get("model") else None
    if found is not None and _agrees(found, text):
        length = text.get("seq_len", "")
        return replace(found, learned_positions=int(float(length))) if found.learned_positions and length else found
    return estimate(text)


def _agrees(arch: Architecture, text: Mapping[str, str]) -> bool:
    for key, value in (("layers", arch.layers), ("hidden", arch.hidden)):
        if text.get(key) and float(text[key]) != value:
            return False
    return True
