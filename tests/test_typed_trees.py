"""What is wrong with a tree of values is said in sentences: the key, what was found, what was expected."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from centime.typed_trees import explain


class Wheel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    spokes: int = Field(gt=0, description="how many hold it")


class Bicycle(BaseModel):
    model_config = ConfigDict(extra="forbid")

    wheels: list[Wheel] = []
    spare: Wheel | None = None

    @model_validator(mode="after")
    def _rolls(self) -> Bicycle:
        if len(self.wheels) > 2:
            raise ValueError("a bicycle has two wheels")
        return self


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"wheel": []}, "wheel is not a key of a bicycle. Did you mean 'wheels'?"),
        ({"motor": 1}, "motor is not a key of a bicycle. It has none."),
        ({"spare": {"x": 1, "spokes": 9}}, "spare.x is not a key of a bicycle. Known here: bell, spokes."),
        ({"wheels": [{}]}, "wheels.0.spokes is missing (how many hold it)."),
        (
            {"wheels": [{"spokes": 0}]},
            "wheels.0.spokes is 0, which does not fit: should be greater than 0 (how many hold it).",
        ),
        ({"wheels": [{"spokes": 1}] * 3}, "a bicycle has two wheels."),
    ],
)
def test_a_fault_is_a_sentence(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as error:
        Bicycle.model_validate(tree)
    found = explain(error.value, Bicycle, "a bicycle", also={"spare": {"bell"}}, instead={"motor": " It has none."})
    assert found == sentence


def test_every_fault_is_said_and_a_long_value_is_cut() -> None:
    with pytest.raises(ValidationError) as error:
        Bicycle.model_validate({"wheels": [{"spokes": "x" * 100}], "bell": True})
    found = explain(error.value, Bicycle, "a bicycle")
    assert f"wheels.0.spokes is '{'x' * 59}... (102 characters), which does not fit" in found
    assert "bell is not a key of a bicycle. Known here: spare, wheels." in found
    with pytest.raises(ValidationError) as error:
        Bicycle.model_validate({"wheels": [{"spokes": "x" * 78}]})
    assert f"spokes is '{'x' * 78}', which" in explain(error.value, Bicycle, "a bicycle")
