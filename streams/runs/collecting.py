"""What came out of a run: small ones whole, all of them as JSON Lines, in the order of the input."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Row

from schemas.money import to_usd
from store.database import Database
from store.runs import jobs, read, steps
from streams.runs import pipelines
from streams.runs.kinds import KINDS, Kind

INLINE = 1_000
"""Items beyond which a result is not told in one piece."""
_PAGE = 200


async def result(database: Database, row: Row[Any]) -> Any:
    """A run's result once it has ended; None before, and where it is too large for one piece."""
    if row.kind == pipelines.KIND:
        return await _kept(database, row)
    kind = KINDS.get((row.kind, row.name))
    if row.ended_at is None or kind is None or row.total > INLINE:
        return None
    if kind.job is not None:
        return await _of_job(database, row)
    found = [item async for item in items(database, row)]
    return _one(row, found) if kind.many is None else _many(row, kind, found)


async def _of_job(database: Database, row: Row[Any]) -> Any:
    found = await database.read(lambda conn: jobs.one(conn, row.tenant, row.id))
    return None if found is None or found.result is None else orjson.loads(found.result)


async def items(database: Database, row: Row[Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Every item that is a request: `index`, `id`, `status`, and `output` or `error`; unfinished ones too."""
    after = read.FIRST
    while True:
        page = await database.read(partial(read.items, id_=row.id, tenant=row.tenant, after=after, limit=_PAGE))
        for each in page:
            if is_item(each):
                yield item(each)
        if len(page) < _PAGE:
            return
        after = page[-1].pk


def is_item(each: Row[Any]) -> bool:
    """Anybody may name a request as if it were an item."""
    return str(each.id).rpartition("/")[2].isdecimal()


def item(each: Row[Any]) -> dict[str, Any]:
    """One of them."""
    told: dict[str, Any] = {"index": _number(each.id), "id": each.id, "status": each.state}
    if step := str(each.id).removeprefix(f"{each.run_id}/").rpartition("/")[0]:
        told["step"] = step
    if each.body is None:
        unfinished = each.state in {"waiting", "leased", "calling", "held"}
        return told | {"status": "unfinished" if unfinished else each.state, "state": each.state}
    body = orjson.loads(each.body)
    told |= {"usage": body["usage"], "warnings": body["warnings"], "metadata": body["metadata"]}
    return told | ({"output": body["output"]} if body["status"] == "succeeded" else {"error": body["error"]})


async def _kept(database: Database, row: Row[Any]) -> Any:
    if row.ended_at is None:
        return None
    found = await database.read(
        partial(steps.outputs, tenant=row.tenant, id_=row.id, step=steps.RESULT, first=0, size=1)
    )
    return found.get(0)


def _number(id_: str) -> int:
    return int(id_.rpartition("/")[2])


def _one(row: Row[Any], found: list[Mapping[str, Any]]) -> Any:
    if not found or "output" not in found[0]:
        return {"error": found[0].get("error")} if found else None
    output = dict(found[0]["output"])
    if row.name == "complete":
        output["text"] = output["content"]
    return output | {"tokens": row.tokens, "cost": to_usd(row.cost_nano)}


def _many(row: Row[Any], kind: Kind, found: list[Mapping[str, Any]]) -> dict[str, Any]:
    """In the order of the input; null stands where an item has failed, and `errors` says why."""
    name, tell = kind.told
    answers: list[Any] = [None] * row.total
    errors = []
    for each in found:
        if "output" in each:
            answers[each["index"]] = each["output"] if tell is None else tell(each["output"])
        else:
            errors.append(
                {"index": each["index"], "id": each["id"], "status": each["status"], "error": each.get("error")}
            )
    return {
        name: answers,
        "errors": errors,
        "count": row.total,
        "total_tokens": row.tokens,
        "cost": to_usd(row.cost_nano),
    }
