"""`check_prices`: the models in use that nothing prices, and those whose price is another one than at the last look."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select

from store.runs import jobs
from store.tables import daily_costs
from streams.jobs.base import Context, Job

_MOST = 1_000
_D = daily_costs.c


class Params(BaseModel):
    """`days`: a model is in use if it was called in so many."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[int, Field(ge=1, le=400)] = 30


async def work(context: Context, params: Params) -> dict[str, Any]:
    """Looks, and changes nothing; `genai-spine costs reprice` books what a price that changed makes of calls."""
    since = str(datetime.now(UTC).date() - timedelta(days=params.days - 1))
    used, before = await context.database.read(
        lambda conn: (_used(conn, since), jobs.last_result(conn, "check_prices"))
    )
    now = {f"{provider}/{model}": _price(context, provider, model) for provider, model in used}
    known = {} if before is None else orjson.loads(before)["prices"]
    unpriced = sorted(name for name, price in now.items() if price is None)
    changed = [
        {"model": name, "was": known[name], "now": price}
        for name, price in sorted(now.items())
        if name in known and known[name] != price
    ]
    context.meters.unpriced.set(len(unpriced))
    context.meters.price_changes.inc(len(changed))
    return {"models": len(now), "unpriced": unpriced, "changed": changed, "prices": now}


def _used(conn: Connection, since: str) -> list[tuple[str, str]]:
    found = select(_D.provider, _D.model).where(_D.date >= since).distinct().order_by(_D.provider, _D.model)
    return [(row.provider, row.model) for row in conn.execute(found.limit(_MOST))]


def _price(context: Context, provider: str, model: str) -> dict[str, str | None] | None:
    """Dollars per million tokens and per GPU-second; None: nothing prices it. Which list says so is no part of a price."""
    line = context.prices.line(provider, model)
    if line is None:
        return None
    entry = line[0]
    return {
        "input_per_million": _plain(entry.input),
        "output_per_million": _plain(entry.output),
        "cached_per_million": None if entry.cached is None else _plain(entry.cached),
        "cache_write_per_million": None if entry.cache_write is None else _plain(entry.cache_write),
        "per_gpu_second": _plain(entry.gpu_second),
    }


def _plain(amount: Any) -> str:
    """0.60 and 0.6 are one price."""
    return f"{amount.normalize():f}"


JOB = Job(Params, work)
