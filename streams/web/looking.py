"""`GET`: one request, what was used, what it cost."""

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from agents import OPERATIONS
from agents.engine.engine import LANE_NAMES
from schemas.money import to_usd
from store.database import Work
from store.errors import StoreError
from store.ledger import generating, queries
from streams.app import Spine
from streams.web.asking import status_url
from streams.web.front import Front
from streams.web.problems import Problem, unavailable

_USUAL_DAYS = 30
GROUPS = ("provider", "model", "tenant", "operation")
_SUMS = ("calls", "input_tokens", "output_tokens", "cached_tokens", "unpriced_calls", "cost_nano")


async def read(spine: Spine, work: Work[Any]) -> Any:
    """A look into the ledger. Raises `Problem` 503 while it is away."""
    try:
        return await spine.database.read(work)
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); ask again.") from error


def json(value: Any, status: int = 200) -> Response:
    """A plain JSON answer."""
    return Response(orjson.dumps(value), status, media_type="application/json")


async def one_request(front: Front, request: Request) -> Response:
    """Unfinished: state, lane, attempts, age, progress. Finished: its result, with 200 whatever the result says."""
    row, far = await find(front, request)
    if row.body is not None:
        return Response(row.body, media_type="application/json")
    return json(unfinished(row, time.time(), far))


async def find(front: Front, request: Request) -> tuple[Row[Any], Row[Any] | None]:
    """The one that the path and the query mean, and how far its call is. Raises `Problem`: 404, 409."""
    spine = front.parts()
    id_ = request.path_params["request_id"]
    tenant, operation = request.query_params.get("tenant"), request.query_params.get("operation")
    operations = [operation.replace("-", "_")] if operation else sorted(OPERATIONS)

    def look(conn: Any) -> tuple[list[Row[Any]], Row[Any] | None]:
        defaults = spine.decoder.defaults
        known = {defaults.tenant, *defaults.tenants.values()} | queries.tenants(conn)
        named = queries.requests_named(conn, id_, [tenant] if tenant else sorted(known), operations)
        calling = [row for row in named if row.state == "calling"]
        return named, generating.of(conn, calling[0].pk) if len(calling) == 1 else None

    found, far = await read(spine, look)
    if not found:
        raise Problem(404, f"No request has the id {id_!r}{_narrowed(tenant, operation)}.")
    if len(found) > 1:
        raise Problem(
            409,
            f"{len(found)} requests have the id {id_!r}: add ?tenant= and &operation= to say which one is meant.",
            candidates=[
                {
                    "tenant": row.tenant,
                    "operation": row.operation,
                    "status_url": status_url(row.tenant, row.operation, row.id),
                }
                for row in found
            ],
        )
    return found[0], far


def _narrowed(tenant: str | None, operation: str | None) -> str:
    told = [f"{name} {value!r}" for name, value in (("tenant", tenant), ("operation", operation)) if value]
    return f" under {' and '.join(told)}" if told else "; if its tenant is a rare one, add ?tenant="


def unfinished(row: Any, now: float, far: Row[Any] | None = None) -> dict[str, Any]:
    """Where a request stands; `progress` is null unless a call of it takes long."""
    return {
        "request_id": row.id,
        "tenant": row.tenant,
        "operation": row.operation,
        "status": "unfinished",
        "state": row.state,
        "lane": LANE_NAMES[row.lane],
        "provider": row.provider,
        "model": row.model,
        "attempts": row.attempts,
        "generation": row.generation,
        "age_s": round(max(0.0, now - row.accepted_at), 3),
        "requested_at": datetime.fromtimestamp(row.requested_at, UTC).isoformat(),
        "progress": None if far is None else progress(far),
    }


def progress(far: Row[Any]) -> dict[str, Any]:
    """Tokens of all answers so far, in `calls` calls; the running one was begun `since`; told `at`."""
    since, at = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (far.since, far.at))
    return {"tokens": far.tokens, "calls": far.calls, "since": since, "at": at}


async def usage(front: Front, request: Request) -> Response:
    """`?by=provider|model|tenant|operation&from=&to=`: calls, tokens and money between two moments."""
    spine = front.parts()
    by = request.query_params.get("by", "provider")
    if by not in GROUPS:
        raise Problem(422, f"by={by[:100]!r} is not known; choose one of {', '.join(GROUPS)}.")
    first, last = _span(request)
    start, end = _epoch(first), _epoch(last + timedelta(days=1))
    found = await read(spine, lambda conn: queries.usage_by(conn, by, start, end))
    items = [_priced(_columns(row)) for row in found]
    return json(
        {
            "by": by,
            "from": str(first),
            "to": str(last),
            "items": items,
            "totals": _totals(map(_columns, found)),
        }
    )


async def costs(front: Front, request: Request) -> Response:
    """`?from=&to=`: the days' costs, exact decimal strings."""
    spine = front.parts()
    first, last = _span(request)
    return json(costs_told(await read(spine, lambda conn: queries.days(conn, str(first), str(last))), first, last))


def costs_told(found: list[Row[Any]], first: date, last: date) -> dict[str, Any]:
    """Rows of daily_costs as the door and `genai-spine costs --json` show them."""
    days = [_priced(_columns(row)) for row in found]
    totals = _totals(map(_columns, found))
    return {"from": str(first), "to": str(last), "days": days, "totals": totals}


def _columns(row: Row[Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name for it


def _priced(row: dict[str, Any]) -> dict[str, Any]:
    """Sums come as Decimal from PostgreSQL; money leaves as a string."""
    nano = int(row.pop("cost_nano"))
    return {name: value if isinstance(value, str) else int(value) for name, value in row.items()} | {
        "cost_usd": to_usd(nano)
    }


def _totals(found: Any) -> dict[str, Any]:
    rows: list[Mapping[str, Any]] = list(found)
    return _priced({name: sum(int(row[name]) for row in rows) for name in _SUMS})


def _span(request: Request) -> tuple[date, date]:
    """Two UTC days, both included; by default the last thirty."""
    try:
        return span(request.query_params.get("from"), request.query_params.get("to"))
    except ValueError as error:
        raise Problem(422, str(error)) from None


def span(first: str | None, last: str | None) -> tuple[date, date]:
    """The same for any door. Raises ValueError with a sentence."""
    end = _day("to", last) if last else datetime.now(UTC).date()
    start = _day("from", first) if first else end - timedelta(days=_USUAL_DAYS - 1)
    if start > end:
        raise ValueError(f"from={start} is after to={end}; exchange them.")
    return start, end


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise ValueError(f"{name}={text[:100]!r} is no day; write YYYY-MM-DD.") from None


def _epoch(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
