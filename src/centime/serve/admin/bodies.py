"""What administrators send, checked field by field: an error names the field that it is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.serve.accounts.access.lifetimes import instant_ns
from centime.serve.accounts.budgets.edit import check_shares, check_webhook
from centime.serve.accounts.budgets.targets import check_place, check_target
from centime.serve.accounts.budgets.windows import zone_named
from centime.serve.accounts.keys import MOST_LIMIT, amount, check_name
from centime.serve.http.validation import VALUE

MONEY = "Such as '$5' or '20 CNY'."


def told(error: UserError) -> str:
    """What the command line would say, where the field's own name stands before it: without option and full stop."""
    return re.sub(r"^--[a-z-]+ ", "", str(error)).removesuffix(".")


def _good(check: Callable[[str], Any], empty: bool = False) -> AfterValidator:
    """A text that `check` takes. empty: '' means something of its own, and is not checked."""

    def checked(value: str) -> str:
        if value or not empty:
            try:
                check(value)
            except UserError as error:
                raise PydanticCustomError(VALUE, "{said}", {"said": told(error)}) from None
        return value

    return AfterValidator(checked)


Money = Annotated[str, _good(amount)]
Place = Annotated[str, _good(check_place, empty=True)]
Instant = Annotated[str, _good(instant_ns, empty=True)]
Zone = Annotated[str, _good(zone_named)]
Shares = Annotated[str, _good(check_shares)]
Webhook = Annotated[str, _good(check_webhook)]


class _AdminBody(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NewKey(_AdminBody):
    """A key to make."""

    name: Annotated[str, _good(check_name)]
    budget: Money | None = Field(None, description=f"What it may spend. {MONEY} Without: no end.")
    price_list: Annotated[str, _good(tariff_for)] | None = Field(
        None, description="Its own prices, as `centime keys add --price-list`."
    )
    peak_hours: str | None = None
    requests_per_minute: int | None = Field(None, ge=1, le=MOST_LIMIT)
    concurrency: int | None = Field(None, ge=1, le=MOST_LIMIT)
    place: Place = Field("", description="Organisation or organisation/team.")
    expires: Instant | None = Field(None, description="A day or an instant (ISO 8601) from which on it is refused.")


class ChangedKey(_AdminBody):
    """What is to change of a key; what is not given stays."""

    add_budget: Money | None = Field(None, description=f"Money to add to its balance. {MONEY}")
    requests_per_minute: int | None = Field(None, ge=0, le=MOST_LIMIT, description="0: no limit.")
    concurrency: int | None = Field(None, ge=0, le=MOST_LIMIT, description="0: no limit.")
    place: Place | None = Field(None, description="'': in no organisation.")
    expires: Instant | None = Field(None, description="'': never.")


class KeyRotation(_AdminBody):
    """A new secret."""

    overlap_seconds: float = Field(86_400.0, ge=0, le=366 * 86_400, description="The old one is good so long yet.")


class NewBudget(_AdminBody):
    """A cap of an organisation, a team, a key, each user or session of one, as `centime budgets add`."""

    target: Annotated[str, _good(check_target)]
    amount: Money = Field(description=MONEY)
    per: Literal["day", "month", "ever"] = "month"
    zone: Zone | None = None
    hard: bool | None = None
    alerts: Shares | None = Field(None, description="Per cent at which somebody is told: '50,80,100'.")
    webhook: Webhook | None = None


class ChangedBudget(_AdminBody):
    """What is to change of a budget; what is not given stays."""

    amount: Money | None = Field(None, description=MONEY)
    zone: Zone | None = None
    hard: bool | None = None
    alerts: Shares | None = None
    webhook: Webhook | None = Field(None, description="'': nobody.")
