"""The ledger as JSON Lines: what was asked, under which name, what was answered, and every call."""

import base64
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import orjson

from store.database import Database
from store.ledger import export
from store.rows import unpack_headers
from streams.web import showing

PAGE = 200


async def lines(database: Database, start: float | None, end: float | None, tenant: str | None) -> AsyncIterator[bytes]:
    """One per request, oldest first; what comes in meanwhile is in it too."""
    after = (start or 0.0, -1)
    while True:
        found = await database.read(partial(export.page, after=after, until=end, tenant=tenant, limit=PAGE))
        for each in found:
            yield line(each)
        if len(found) < PAGE:
            return
        after = (found[-1].request.accepted_at, found[-1].request.pk)


def line(whole: export.Whole) -> bytes:
    """`value` is the record as it came: JSON where it is some, else base64; null where it is no longer kept."""
    row, body = whole.request, whole.body
    told = showing.item(row)
    told |= {
        "source": None
        if row.source_topic is None
        else f"{row.source_topic}/{row.source_partition}/{row.source_offset}",
        "idempotency_key": row.idempotency_key,
        "key": None if row.key is None else base64.b64encode(row.key).decode(),
        "headers": [] if body is None else [[name, _text(value)] for name, value in unpack_headers(body.headers)],
        "value": None if body is None else _value(body.value),
        "results": [orjson.Fragment(bytes(each.body)) for each in whole.results],
        "calls": [showing.call(each) for each in whole.calls],
    }
    return orjson.dumps(told)


def _value(value: bytes) -> Any:
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    return orjson.Fragment(bytes(value))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
