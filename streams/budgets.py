"""Budgets as people name them: read from options and bodies, and shown."""

import asyncio
import random
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlalchemy import Connection

from schemas.money import to_nano, to_usd
from schemas.request import Name
from store.database import Database
from store.errors import Met
from store.ledger import budgets
from store.ledger.budgeting import Scope, State, ends, moment
from store.ledger.budgets import Wanted

T = TypeVar("T")
MOST_NANO = 9 * 10**18
"""Nine thousand million dollars: what a column holds."""
_TRIES = 30


class Budget(BaseModel):
    """What a budget is to be. At least one of tenant, key, model and run, or `everything`, says whose costs it counts."""

    model_config = ConfigDict(extra="forbid")

    tenant: Name | None = None
    key: Name | None = Field(None, description="A key's id, as `genai-spine keys list` shows it.")
    model: Name | None = Field(None, description="provider/model, or provider/* for all of a provider.")
    run: Name | None = None
    everything: bool = False
    limit_usd: str = Field(description="Dollars, as a decimal string.")
    per: Literal["day", "month", "total"] = Field("month", description="A UTC day, a UTC month, or in total.")
    hard: bool = Field(True, description="false: a shadow budget, which only counts.")
    allow_unpriced: bool = Field(False, description="Let calls pass that nothing prices.")

    @field_validator("limit_usd", mode="before")
    @classmethod
    def _is_money(cls, told: Any) -> str:
        try:
            amount = Decimal(str(told))
        except InvalidOperation:
            amount = Decimal("NaN")
        if isinstance(told, bool) or not amount.is_finite() or not 0 <= amount * 10**9 <= MOST_NANO:
            raise ValueError(f"{str(told)[:50]!r} is no amount of dollars; write a decimal number such as 12.50")
        return str(amount)

    @field_validator("model")
    @classmethod
    def _names_a_model(cls, told: str | None) -> str | None:
        if told is not None and not all(told.partition("/")):
            raise ValueError(f"{told!r} names no model; write provider/model or provider/*")
        return told

    @model_validator(mode="after")
    def _is_about_something(self) -> "Budget":
        named = any((self.tenant, self.key, self.model, self.run))
        if named == self.everything:
            raise ValueError("say whose costs it counts: a tenant, a key, a model, a run, or everything")
        return self

    def wanted(self, default_tenant: str) -> Wanted:
        """For the ledger. A run is some tenant's: the default one's, if none is named."""
        tenant = self.tenant or (default_tenant if self.run else "")
        scope = Scope(tenant, self.key or "", self.model or "", self.run or "")
        nano = to_nano(Decimal(self.limit_usd))
        return Wanted(scope, self.per, nano, hard=self.hard, unpriced=self.allow_unpriced)


def told(state: State) -> dict[str, Any]:
    """One budget as it stands."""
    scope, resets = state.scope, ends(state.period, state.since)
    return {
        "id": state.id,
        "tenant": scope.tenant or None,
        "key": scope.key_id or None,
        "model": scope.model or None,
        "run": scope.run_id or None,
        "per": state.period,
        "hard": state.hard,
        "allow_unpriced": state.unpriced,
        "limit_usd": to_usd(state.limit_nano),
        "spent_usd": to_usd(state.spent_nano),
        "reserved_usd": to_usd(state.reserved_nano),
        "left_usd": to_usd(state.left_nano),
        "overrun_usd": to_usd(state.overrun_nano),
        "unpriced_calls": state.unpriced_calls,
        "refused": state.refused,
        "since": moment(state.since),
        "resets_at": None if resets is None else moment(resets),
        "removed": state.removed_at is not None,
    }


def line(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a budget's history."""
    money = {f"{name}_usd": to_usd(row[f"{name}_nano"]) for name in ("limit", "spent", "reserved")}
    shown = f"{row['event']} %" if row["event"].isdigit() else row["event"]
    return {"at": moment(row["at"]), "event": shown, "who": row["who"] or None, "refused": row["refused"]} | money


async def put(database: Database, wanted: Wanted, who: str) -> State:
    """Set it; whoever meets another who sets one at this moment comes after them."""
    return await patiently(database, lambda conn: budgets.put(conn, wanted, who))


async def remove(database: Database, id_: int, who: str) -> State | None:
    """None: there is no such budget."""
    return await patiently(database, lambda conn: budgets.remove(conn, id_, who))


async def patiently(database: Database, work: Callable[[Connection], T]) -> T:
    """Whoever meets another who sets a budget at this moment comes after them."""
    for _ in range(_TRIES):
        try:
            return await database.write(work)
        except Met:
            await asyncio.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - so that they come apart
    return await database.write(work)
