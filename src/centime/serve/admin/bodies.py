"""What administrators send."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MONEY = "Such as '$5' or '20 CNY'."


class _AdminBody(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NewKey(_AdminBody):
    """A key to make."""

    name: str
    budget: str | None = Field(None, description=f"What it may spend. {MONEY} Without: no end.")
    price_list: str | None = Field(None, description="Its own prices, as `centime keys add --price-list`.")
    peak_hours: str | None = None
    requests_per_minute: int | None = None
    concurrency: int | None = None
    place: str = Field("", description="Organisation or organisation/team.")
    expires: str | None = Field(None, description="A day or an instant (ISO 8601) from which on it is refused.")


class ChangedKey(_AdminBody):
    """What is to change of a key; what is not given stays."""

    add_budget: str | None = Field(None, description=f"Money to add to its balance. {MONEY}")
    requests_per_minute: int | None = Field(None, ge=0, le=10**9, description="0: no limit.")
    concurrency: int | None = Field(None, ge=0, le=10**9, description="0: no limit.")
    place: str | None = Field(None, description="'': in no organisation.")
    expires: str | None = Field(None, description="'': never.")


class KeyRotation(_AdminBody):
    """A new secret."""

    overlap_seconds: float = Field(86_400.0, ge=0, le=366 * 86_400, description="The old one is good so long yet.")


class NewBudget(_AdminBody):
    """A cap of an organisation, a team, a key, each user or session of one, as `centime budgets add`."""

    target: str
    amount: str = Field(description=MONEY)
    per: Literal["day", "month", "ever"] = "month"
    zone: str | None = None
    hard: bool | None = None
    alerts: str | None = Field(None, description="Per cent at which somebody is told: '50,80,100'.")
    webhook: str | None = None


class ChangedBudget(_AdminBody):
    """What is to change of a budget; what is not given stays."""

    amount: str | None = Field(None, description=MONEY)
    zone: str | None = None
    hard: bool | None = None
    alerts: str | None = None
    webhook: str | None = Field(None, description="'': nobody.")
