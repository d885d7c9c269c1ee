"""The rotary embedding of a config.json: base and scaling, wherever its writer put them, said once or alike.

DeepSeek writes `rope_theta` and `rope_scaling`; transformers 5 moves both into `rope_parameters`. A file that has both
and means two things by them is refused: one of its readers would compute something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from centime.catalogue.hf.plain_attention import PLAIN
from centime.catalogue.hf.settings import explain
from centime.catalogue.model_config import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling
from centime.errors import UserError
from centime.json_files import brief

_PLACES = ("rope_parameters", "rope_scaling")
_PLAIN_KINDS = ("llama3", "linear")  # of plain attention alone


def rotary(raw: Mapping[str, Any], family: str, where: str) -> tuple[float, RopeScaling | None]:
    """(base, scaling or None) of a config.json whose types `check_types` has seen. Raises UserError."""
    theta = _theta(raw, where)
    place, settings = _settings(raw, where)
    here = f"{where}: {place}"
    kind = settings.pop("rope_type", None)
    computed = ("yarn", *(_PLAIN_KINDS if family in PLAIN else ()))
    if kind not in (None, "default", *computed):
        raise UserError(f"{here} scales by {kind!r}; centime computes {', '.join(map(repr, computed))}.")
    if settings.pop("partial_rotary_factor", 1) != 1:
        raise UserError(f"{here} rotates part of a head (partial_rotary_factor); set qk_rope_head_dim instead.")
    if settings.pop("truncate", True) is False:
        raise UserError(f"{here} sets truncate = false for YaRN; centime rounds the ramp's ends, as DeepSeek does.")
    if kind in _PLAIN_KINDS:
        return theta, _plain_scaling(kind, settings, here)
    if kind == "yarn":
        return theta, _yarn(raw, settings, family, here)
    if settings:
        word = "'default', which has no settings" if kind else "not said"
        raise UserError(f"{here} has settings {sorted(settings)}, but its rope_type is {word}.")
    return theta, None


def _plain_scaling(kind: str, settings: dict[str, Any], here: str) -> RopeScaling:
    """Llama 3's or linear scaling, all of whose settings a file says itself."""
    scaling = Llama3Scaling if kind == "llama3" else LinearScaling
    names = scaling.model_fields.keys() - {"rope_type"}
    if missing := sorted(names - settings.keys()):
        raise UserError(f"{here} is {kind!r} without {', '.join(missing)}.")
    if unknown := sorted(settings.keys() - names):
        raise UserError(f"{here} has unknown settings {unknown}, which may change the computation.")
    try:
        return scaling(rope_type=kind, **settings)
    except ValidationError as error:
        raise UserError(explain(error, here)) from None


def _yarn(raw: Mapping[str, Any], settings: dict[str, Any], family: str, here: str) -> YarnScaling:
    factor, original = settings.pop("factor", None), settings.pop("original_max_position_embeddings", None)
    if original is None:
        raise UserError(f"{here} is YaRN without original_max_position_embeddings, the context before extension.")
    if factor is None:
        factor = max(1.0, (raw.get("max_position_embeddings") or original) / original)
    slope, slope_all = settings.pop("mscale", None), settings.pop("mscale_all_dim", None)
    attention_factor = settings.pop("attention_factor", None)
    ramp = {key: settings.pop(key) for key in ("beta_fast", "beta_slow") if key in settings}
    if settings:
        raise UserError(f"{here} has unknown settings {sorted(settings)}, which may change the computation.")
    slope, slope_all = _slopes(float(factor), slope, slope_all, attention_factor, family, here)
    return YarnScaling(
        factor=factor, original_max_position_embeddings=original, mscale=slope, mscale_all_dim=slope_all, **ramp
    )


def _theta(raw: Mapping[str, Any], where: str) -> float:
    """The base, from any of the three places that may say it."""
    said = {"rope_theta": raw.get("rope_theta")}
    said |= {f"{place}.rope_theta": (raw.get(place) or {}).get("rope_theta") for place in _PLACES}
    given = {name: value for name, value in said.items() if value is not None}
    if len(set(given.values())) > 1:
        raise UserError(f"{where} says two rotary bases, {_listed(given)}; keep one of them.")
    return float(next(iter(given.values()), 10000.0))


def _settings(raw: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """Where something is said beside the base, and what: null left out, `type` under its later name `rope_type`."""
    found = {}
    for place in _PLACES:
        said = {key: value for key, value in (raw.get(place) or {}).items() if value is not None}
        said.pop("rope_theta", None)
        kinds = {said.pop(key) for key in ("rope_type", "type") if key in said}
        if len(kinds) > 1:
            raise UserError(f"{where}: {place} has rope_type and type, and they differ: {sorted(kinds)}; keep one.")
        if kinds:
            said["rope_type"] = kinds.pop()
        if said:
            found[place] = said
    if len(found) == 2 and found[_PLACES[0]] != found[_PLACES[1]]:
        one, two = found.values()
        apart = {key: (one.get(key), two.get(key)) for key in ("rope_type", *sorted(one.keys() | two.keys()))}
        key, (first, second) = next((key, pair) for key, pair in apart.items() if pair[0] != pair[1])
        raise UserError(
            f"{where} has rope_parameters and rope_scaling, which say different things: {key} is {brief(first)} in the "
            f"one and {brief(second)} in the other; keep the one that is meant."
        )
    return next(iter(found.items()), ("", {}))


def _slopes(
    factor: float, slope: float | None, slope_all: float | None, attention_factor: float | None, family: str, where: str
) -> tuple[float, float]:
    """(mscale, mscale_all_dim) such that rotated features and softmax are scaled as the file's own code scales them.

    With magnitude(m) = 0.1 m ln(s) + 1, rotated features are scaled by magnitude(mscale) / magnitude(mscale_all_dim),
    or by `attention_factor` where it is given; the softmax by magnitude(mscale_all_dim)^2 in DeepSeek's attention and
    not at all in plain attention.
    """
    per_slope = 0.1 * math.log(factor) if factor > 1 else 0.0
    if attention_factor is None:
        if slope and slope_all:
            attention_factor = (per_slope * slope + 1) / (per_slope * slope_all + 1)
            if family not in PLAIN:
                return slope, slope_all
        elif family in PLAIN:  # transformers: without both, the paper's 0.1 ln(s) + 1
            return 1.0, 0.0
        else:
            # DeepSeek's code takes magnitude(mscale) / magnitude(mscale_all_dim) whatever they are, absent ones as 1
            # and 0; transformers takes magnitude(1) as soon as one of them is 0 or absent.
            theirs = (per_slope * (1.0 if slope is None else slope) + 1) / (per_slope * (slope_all or 0.0) + 1)
            if abs(theirs - (per_slope + 1)) > 1e-9:
                raise UserError(
                    f"{where}: by mscale {brief(slope)} and mscale_all_dim {brief(slope_all)} DeepSeek's code scales "
                    f"rotated features by {theirs:.6g} and transformers by {per_slope + 1:.6g}; say the one that is "
                    "meant as attention_factor."
                )
            return (1.0 if slope is None else slope), slope_all or 0.0
    softmax_slope = 0.0 if family in PLAIN else slope_all or 0.0
    rotated = attention_factor * (per_slope * softmax_slope + 1) - 1
    if rotated < -1e-12 or (per_slope == 0 and rotated > 1e-12):
        raise UserError(f"{where} scales rotated features by {attention_factor:.4g}, which YaRN's mscale cannot say.")
    found = max(rotated, 0.0) / per_slope if per_slope else 1.0
    if found > 1000:
        raise UserError(f"{where} scales rotated features by {attention_factor:.4g}, which no YaRN's mscale would.")
    return found, softmax_slope


def _listed(values: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} = {brief(value)}" for name, value in values.items())
