"""What came out of a run: small ones whole, all of them as JSON Lines, in the order of the input."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from schemas.money import to_usd
from schemas.result import Totals
from store.database import Database
from store.runs import jobs, read, steps
from streams.runs import pipelines
from streams.runs.kinds import KINDS, Kind, is_job

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind the row `pk`, and at the number `number`, as those before have been told."""

    pk: int = read.FIRST
    number: int = 0


async def items(database: Database, row: Row[Any]) -> AsyncIterator[Mapping[str, Any]]:
    """Every item in the order of the input: `index`, `id`, `status`, and `output` or `error`; unfinished ones too."""
    place: Place | None = Place()
    while place is not None:
        found, place = await database.read(partial(page, row=row, place=place, limit=_PAGE))
        for each in found:
            yield each


def page(
    conn: Connection, row: Row[Any], place: Place, limit: int, state: str | None = None
) -> tuple[list[dict[str, Any]], Place | None]:
    """Some of them, and where the next ones begin. `row` was read before: what was fed since is told by its request."""
    asked = read.items(conn, row.id, row.tenant, place.pk, limit, state)
    told = [item(each) for each in asked if is_item(each)]
    found = [each for each in told if "step" in each or each["index"] >= place.number]
    number = max([place.number, *(each["index"] + 1 for each in found if "step" not in each)])
    pk = asked[-1].pk if asked else place.pk
    if len(asked) == limit:
        return found, Place(pk, number)
    left = _unsent(row, number, state)
    more = left[: limit - len(found)]
    found += [_unsent_item(row, each) for each in more]
    return found, Place(pk, left[len(more)]) if len(more) < len(left) else None


def _unsent(row: Row[Any], number: int, state: str | None) -> range:
    """Those that are no requests, from that number on: not yet, or never of a run that was cancelled."""
    counts_items = row.kind != pipelines.KIND and not is_job(row)
    wanted = state is None or (state == "cancelled" and row.ended_at is not None)
    return range(max(row.fed, number), row.total) if counts_items and wanted else range(0)


def _unsent_item(row: Row[Any], number: int) -> dict[str, Any]:
    told = {"index": number, "id": f"{row.id}/{number}"}
    if row.ended_at is None:
        return told | {"status": "unfinished", "state": "waiting"}
    nothing = {"usage": Totals().model_dump(mode="json"), "warnings": [], "metadata": {}}
    return told | {"status": "cancelled", **nothing, "error": None}


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
