"""What whoever owns a run does for it, whatever it is made of: look at it, and tell how it stands."""

from typing import Any

from sqlalchemy import Connection, Row

from store.database import Database
from store.ledger.types.records import Routes
from store.runs import money, read, write
from streams.runs import delivering, telling


async def looked(database: Database, worker: str, tenant: str, id_: str) -> Row[Any] | None:
    """The run, if it is this worker's and goes on. Who cancels by its name alone cancels the run too."""
    row, called_off = await database.read(
        lambda conn: (read.one(conn, tenant, id_), read.is_called_off(conn, tenant, id_))
    )
    if row is None or row.ended_at is not None or row.owner != worker:
        return None
    if called_off and not row.cancelled:
        await database.write(lambda conn: write.cancel(conn, tenant, id_))
        return await database.read(lambda conn: read.one(conn, tenant, id_))
    return row


def tell(conn: Connection, routes: Routes, row: Row[Any], values: dict[str, Any]) -> bool:
    """What is new of a run, to whom it concerns; False: it had ended."""
    if "ended_at" in values:
        values = values | {"over_budget": money.over(conn, row.tenant, row.id) if values["failed"] else 0}
    changed = write.counted(conn, row.tenant, row.id, values)
    if changed and "ended_at" in values and row.budget_nano is not None:
        money.unbound(conn, row.tenant, row.id)
    if changed:
        now_ = read.one(conn, row.tenant, row.id)
        telling.progress(conn, routes, now_)
        if "ended_at" in values:
            delivering.put(conn, now_)
    return changed
