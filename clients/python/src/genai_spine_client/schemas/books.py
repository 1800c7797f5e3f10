# Made by `python -m scripts.client` from schemas/books.py; change it there.
"""What the API answers about usage and costs. Money is an exact decimal string, in dollars.

Read leniently: what is not named here is kept too, since fields may be added.
"""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


class Sums(_Told):
    """Calls, tokens and money. `cost_usd` is an exact decimal string."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    unpriced_calls: int
    cost_usd: str | None


class UsageRow(Sums):
    """One group: the values that it has in common stand beside, under their own names."""

    wasted: int = 0
    errors: int = 0


class Usage(_Told):
    """Every call that ended, grouped. `whole_from`: the first day whose calls were not pruned."""

    by: str
    first: str = Field(alias="from")
    last: str = Field(alias="to")
    whole_from: str | None = None
    items: list[UsageRow]
    totals: Sums


class CostDay(Sums):
    """What one model cost one tenant on one UTC day."""

    date: str
    provider: str
    model: str
    tenant: str


class RouteSaved(_Told):
    """By waiting for a model that costs less than the route's next one."""

    route: str
    requests: int
    saved_usd: str | None


class TierSaved(_Told):
    """By a cheaper tier of a provider."""

    tier: str
    provider: str
    model: str
    requests: int
    saved_usd: str | None


class Savings(_Told):
    """What requests cost less since they had time; nothing is counted twice."""

    routes: list[RouteSaved] = []
    tiers: list[TierSaved] = []
    saved_usd: str | None


class Costs(_Told):
    """`days`, or `items` where it was asked for by groups."""

    by: str | None = None
    first: str = Field(alias="from")
    last: str = Field(alias="to")
    whole_from: str | None = None
    days: list[CostDay] = []
    items: list[UsageRow] = []
    totals: Sums
    savings: Savings | None = None


class Correction(_Told):
    """By how much a day's calls were more than what had been added up; `more` has what was wrong of calls and tokens."""

    date: str
    provider: str
    model: str
    tenant: str
    difference_usd: str
    more: dict[str, int]
    run_id: str
    at: AwareDatetime


class Corrections(_Told):
    """What was put right of days."""

    first: str = Field(alias="from")
    last: str = Field(alias="to")
    items: list[Correction]
