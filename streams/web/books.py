"""`/v1/usage` and `/v1/costs`: calls, tokens and money, grouped, as JSON or CSV."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from store.ledger import books, queries, rollup, room, savings
from streams import bookkeeping, days
from streams import corrections as righted
from streams.web.front import Front
from streams.web.looking import read, report
from streams.web.principal import principal_of
from streams.web.problems import Problem
from streams.web.queries import told
from streams.web.replies import tagged

PARAMETERS = ("by", "from", "to", "format")
_FORMS = ("json", "csv")
_CSV = "text/csv"
_COUNTED = ("calls", "input_tokens", "output_tokens", "cached_tokens")
T = TypeVar("T")
_Group = Callable[[Connection, Sequence[str], date, date, int, str | None], list[Row[Any]]]


async def usage(front: Front, request: Request) -> Response:
    """Every call, with the wasted ones and the errors: `?by=` some of day, provider, model, tenant, operation, run."""
    given = told(request, PARAMETERS)
    return await _grouped(front, request, "usage", books.usage_by, given, given.get("by", "provider"))


async def costs(front: Front, request: Request) -> Response:
    """The days' costs, exact decimal strings; with `?by=` grouped by some of day, provider, model, tenant, operation, run."""
    given = told(request, PARAMETERS)
    if "by" in given:
        return await _grouped(front, request, "costs", books.costs_by, given, given["by"])
    first, last = _days(given)
    tenant = principal_of(request).tenant
    found = await read(front.parts(), lambda conn: queries.days(conn, str(first), str(last), tenant))
    less = await read(front.parts(), lambda conn: savings.between(conn, str(first), str(last), tenant))
    cheaper = await read(front.parts(), lambda conn: savings.tiers_between(conn, str(first), str(last), tenant))
    names = ("date", "provider", "model", "tenant", *_COUNTED, "unpriced_calls", "cost_usd")
    body = bookkeeping.daily(found, first, last) | {"savings": bookkeeping.saved(less, cheaper)}
    return _shown(request, given, "costs", body, "days", names)


async def corrections(front: Front, request: Request) -> Response:
    """Sums of days that were not those of their calls: what `aggregate_costs` has put right, by how much, and which run did it."""
    first, last = _days(told(request, ("from", "to")))
    tenant = principal_of(request).tenant
    found = await read(front.parts(), lambda conn: rollup.corrected(conn, first, last, tenant, righted.MOST))
    return tagged(request, orjson.dumps(righted.listed(found, first, last)))


async def _grouped(
    front: Front, request: Request, what: str, group: _Group, given: dict[str, str], asked: str
) -> Response:
    first, last = _days(given)
    by = _worded(lambda: bookkeeping.groups(asked))
    tenant = principal_of(request).tenant
    of_calls = what == "usage" or books.reads_journal(by)
    ask = report if of_calls else read
    found = await ask(front.parts(), lambda conn: group(conn, by, first, last, bookkeeping.MOST + 1, tenant))
    marks = await read(front.parts(), room.marks) if of_calls else {}
    body = _worded(lambda: bookkeeping.grouped(by, found, first, last, marks.get("journal")))
    more = ("wasted", "errors") if what == "usage" else ()
    return _shown(request, given, what, body, "items", (*by, *_COUNTED, *more, "unpriced_calls", "cost_usd"))


def _shown(
    request: Request, given: dict[str, str], what: str, body: dict[str, Any], items: str, names: Sequence[str]
) -> Response:
    if _form(request, given) == "json":
        return tagged(request, orjson.dumps(body))
    file = f'attachment; filename="{what}-{body["from"]}-{body["to"]}.csv"'
    table = bookkeeping.as_csv(body[items], names)
    return tagged(request, table, "text/csv; charset=utf-8", {"Content-Disposition": file})


def _form(request: Request, given: dict[str, str]) -> str:
    """`?format=` goes before what the client accepts."""
    form = given.get("format")
    if form is None:
        accepted = [kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(",")]
        return "csv" if _CSV in accepted and "application/json" not in accepted else "json"
    if form not in _FORMS:
        raise Problem(422, f"format={form[:100]!r} is not known; choose one of {', '.join(_FORMS)}.")
    return form


def _days(given: dict[str, str]) -> tuple[date, date]:
    return _worded(lambda: days.span(given.get("from"), given.get("to")))


def _worded(check: Callable[[], T]) -> T:
    """Raises `Problem` 422 with the sentence of a ValueError."""
    try:
        return check()
    except ValueError as error:
        raise Problem(422, str(error)) from None
